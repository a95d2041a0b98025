"""The values of Transcribe's streaming API agree with Amazon's own packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest

from scripts.transcribe_values import (
    NAME,
    PACKAGE,
    ROOT,
    TARGET,
    UnexpectedPackage,
    differences,
    formatted,
    read,
    rendered,
)
from speech.transcribe_values import SDK_VERSION, START_STREAM_TRANSCRIPTION

pytestmark = pytest.mark.unit

installed = pytest.mark.skipif(
    not PACKAGE.exists(), reason=f"{NAME} is not installed; `make setup-test` does it"
)


@installed
def test_every_value_and_bound_is_that_of_the_sdk() -> None:
    assert TARGET.read_text() == formatted(rendered(read(PACKAGE)))


def test_they_are_of_the_sdk_that_is_pinned() -> None:
    pinned = json.loads((ROOT / "tests/aws_sdk_js/package.json").read_text())["devDependencies"]

    assert pinned[NAME] == SDK_VERSION


def test_what_the_sdk_leaves_out_is_as_in_botocores_model_of_batch_jobs() -> None:
    model = botocore.session.get_session().get_service_model("transcribe")
    of_batch = {
        "VocabularyName": "VocabularyName",
        "VocabularyFilterName": "VocabularyFilterName",
        "LanguageModelName": "ModelName",
    }
    ours = {p.member: p for p in START_STREAM_TRANSCRIPTION.parameters.values()}

    for member, name in of_batch.items():
        shape = model.shape_for(name)
        assert f"^{ours[member].pattern}" == shape.metadata["pattern"]
        assert ours[member].longest == shape.metadata["max"]
    rate = model.shape_for("MediaSampleRateHertz").metadata
    assert (rate["min"], rate["max"]) == (
        ours["MediaSampleRateHertz"].least,
        ours["MediaSampleRateHertz"].most,
    )


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a package that may be changed."""
    for folder in ("dist-types/models", "dist-es/schemas"):
        shutil.copytree(PACKAGE / folder, tmp_path / folder)
    (tmp_path / "package.json").write_text('{"version": "9.0.1"}')
    return tmp_path


def compared(package: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "scripts.transcribe_values", "--compare", str(package)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@installed
def test_a_newer_sdk_alone_is_no_change(other: Path) -> None:
    assert not differences(TARGET.read_text(), rendered(read(other)))
    assert compared(other).returncode == 0


@installed
def test_a_language_more_is_a_change_that_is_named(other: Path) -> None:
    enums = other / "dist-types/models/enums.d.ts"
    text = enums.read_text()
    enums.write_text(text.replace('readonly AF_ZA: "af-ZA";', 'X: "af-ZA";\n    Y: "tlh-QO";', 1))

    outcome = compared(other)

    assert outcome.returncode == 1
    assert "+ 'tlh-QO'," in outcome.stdout
    assert "make transcribe-values UPGRADE=1" in outcome.stdout


@installed
@pytest.mark.parametrize(
    ("file", "was", "becomes"),
    [
        ("dist-types/models/models_0.d.ts", "from 1 to 300", "as you like"),
        ("dist-types/models/models_0.d.ts", "Medical only supports", "Medical likes"),
        ("dist-types/models/models_0.d.ts", "    LanguageModelName?: string", "    Odd?: string"),
        ("dist-es/schemas/schemas_0.js", '"POST", "/stream-', '"PUT", "/stream-'),
    ],
)
def test_a_package_that_is_built_otherwise_is_not_guessed_at(
    other: Path, file: str, was: str, becomes: str
) -> None:
    path = other / file
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, becomes))

    with pytest.raises(UnexpectedPackage):
        rendered(read(other))
    assert "cannot be read" in compared(other).stderr
