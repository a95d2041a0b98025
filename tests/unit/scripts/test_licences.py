"""The check of licences, with the tree's own locks and policy."""

from __future__ import annotations

import json
import shutil
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from scripts.licences import POLICY, ROOT, Policy, check_tree, read_npm, read_python
from tests.support.locks import LOCKS, TOP

pytestmark = pytest.mark.unit

TEXT = (ROOT / POLICY).read_text()


def install(folder: Path, name: str, *metadata: str) -> None:
    """Write the metadata of an installed package."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *metadata]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def check(folder: Path, *metadata: str, name: str = "novelty") -> list[str]:
    """Return the complaints about one installed package, without those about other entries."""
    install(folder, name, *metadata)
    policy = Policy.parse(TEXT, "python")
    packages = read_python([f"{name}==1.0 \\\n"], distributions(path=[str(folder)]), policy)
    return [each for each in policy.check(packages) if "is not locked" not in each]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of everything that the check reads of the tree."""
    for path in (*LOCKS, "scripts/lock.sh", POLICY, "package-lock.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_a_locked_package_under_an_unknown_licence_is_refused(tree: Path) -> None:
    install(tree / ".venv-emulator/lib/python3.11/site-packages", "novelty", "License: Wonderful 1")
    with (tree / TOP).open("a") as lock:
        lock.write("novelty==1.0 \\\n    --hash=sha256:00\n")

    (complaint,) = check_tree(tree)

    assert complaint == (
        "novelty 1.0 (python): Wonderful 1 is not allowed. Use another package, or add an "
        "exception with its reason to python.exceptions in scripts/licences.toml"
    )


def test_a_locked_package_with_extras_is_checked_too(tmp_path: Path) -> None:
    install(tmp_path, "novelty", "License: Wonderful 1")
    policy = Policy.parse(TEXT, "python")
    lock = "novelty[one,two]==1.0 \\\n    --hash=sha256:00\n"

    (package,) = read_python([lock], distributions(path=[str(tmp_path)]), policy)

    assert (package.name, package.version) == ("novelty", "1.0")
    assert package.licences == ("Wonderful 1",)


def test_a_locked_package_that_is_not_installed_must_be_written_down(tree: Path) -> None:
    with (tree / "gpu_server/requirements-whisperx.txt").open("a") as lock:
        lock.write("novelty==1.0 \\\n    --hash=sha256:00\n")

    (complaint,) = check_tree(tree)

    assert complaint.startswith("novelty 1.0 (python): its licence is unknown: it is not installed")
    assert complaint.endswith("add the licence to python.by_hand in scripts/licences.toml")


@pytest.mark.parametrize(
    ("licence", "complaint"),
    [
        ("GPL-3.0-only", "@scope/novelty 1.0 (npm): GPL-3.0-only is not allowed"),
        (None, "@scope/novelty 1.0 (npm): its licence is unknown"),
    ],
)
def test_a_package_of_npm_is_refused_also_below_another_one(
    tree: Path, licence: str | None, complaint: str
) -> None:
    lock = json.loads((tree / "package-lock.json").read_text())
    entry = {"version": "1.0"} | ({"license": licence} if licence else {})
    lock["packages"]["node_modules/vite/node_modules/@scope/novelty"] = entry
    (tree / "package-lock.json").write_text(json.dumps(lock))

    (found,) = check_tree(tree)

    assert found.startswith(complaint)


def test_an_entry_whose_package_has_gone_is_to_be_removed(tree: Path) -> None:
    for lock in LOCKS:
        text = (tree / lock).read_text()
        (tree / lock).write_text(text.replace("\npicows==", "\nnovelty=="))

    assert "picows (python): is not locked; remove it from by_hand in scripts/licences.toml" in (
        check_tree(tree)
    )


@pytest.mark.parametrize(
    "metadata",
    [
        ["License-Expression: MIT"],
        ["License-Expression: MIT AND PSF-2.0"],
        ["License-Expression: GPL-3.0-only OR MIT"],
        ["License-Expression: (MIT OR GPL-3.0-only)"],
        ["License: MIT"],
        ["Classifier: License :: OSI Approved", "License: BSD-3-Clause"],
        ["Classifier: License :: OSI Approved :: MIT License", "License: Copyright (c) us. " * 9],
    ],
)
def test_allowed_licences_are_found_wherever_metadata_have_them(
    tmp_path: Path, metadata: list[str]
) -> None:
    assert not check(tmp_path, *metadata)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        (["License-Expression: MIT AND GPL-3.0-only"], "MIT AND GPL-3.0-only"),
        (
            ["License-Expression: GPL-2.0-only AND (X OR MIT OR Y)"],
            "GPL-2.0-only AND (X OR MIT OR Y)",
        ),
        # What a part is under does not count where the whole is declared to be under another one.
        (["Classifier: License :: Other/Proprietary License", "License: MIT"], "Other/Proprietary"),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            ],
            "GNU General Public License v3 (GPLv3) AND MIT",
        ),
    ],
)
def test_other_licences_are_refused(tmp_path: Path, metadata: list[str], licence: str) -> None:
    (complaint,) = check(tmp_path, *metadata)

    assert complaint.startswith(f"novelty 1.0 (python): {licence}")


@pytest.mark.parametrize(
    "metadata", [[], ["License: UNKNOWN"], ["License: All of it. " + "x" * 90]]
)
def test_a_package_that_names_no_licence_is_refused(tmp_path: Path, metadata: list[str]) -> None:
    (complaint,) = check(tmp_path, *metadata)

    assert "its licence is unknown" in complaint


def test_an_exception_is_for_one_package_and_its_licences(tmp_path: Path) -> None:
    assert not check(tmp_path / "1", "License-Expression: LGPL-2.1-or-later", name="soxr")
    assert check(tmp_path / "2", "License-Expression: GPL-3.0-only", name="soxr")
    assert check(tmp_path / "3", "License-Expression: LGPL-2.1-or-later", name="novelty")


def test_what_a_person_read_counts_beside_the_metadata(tmp_path: Path) -> None:
    (complaint,) = check(tmp_path, "License-Expression: GPL-3.0-only", name="picows")

    assert "GPL-3.0-only AND MIT is not allowed" in complaint


def test_the_trees_own_packages_are_not_checked() -> None:
    policy = Policy.parse(TEXT, "npm")
    names = {each.name for each in read_npm((ROOT / "package-lock.json").read_text(), policy)}

    assert {"react", "aws-cdk", "@reduxjs/toolkit"} <= names
    assert not {name for name in names if name.startswith("cloudscribe")}


def test_the_policy_names_licences_as_spdx_does_and_gives_reasons() -> None:
    content = tomllib.loads(TEXT)
    exceptions = [*content["python"]["exceptions"].values(), *content["npm"]["exceptions"].values()]
    names = {
        *content["allowed"],
        *content["spellings"].values(),
        *content["python"]["by_hand"].values(),
        *(licence for each in exceptions for licence in each["licences"]),
    }

    assert {name for name in names if canonicalize_license_expression(name) != name} == set()
    assert all(len(each["reason"].split()) > 2 for each in exceptions)
