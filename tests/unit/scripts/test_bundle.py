from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.common import functions
from scripts import botocore_data, bundle

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]

#: The magic number in CPython's bytecode, from Include/internal/pycore_magic_number.h.
MAGIC = {"3.13": (3571).to_bytes(2, "little")}
INTERPRETER = bundle.find_interpreter()


def digest(folder: Path) -> str:
    """Over names, contents, permissions and times."""
    found = hashlib.sha256()
    for path in [folder, *sorted(folder.rglob("*"))]:
        facts = path.stat()
        found.update(f"{path.relative_to(folder)} {facts.st_mode} {facts.st_mtime}\n".encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with two functions and some that are none."""
    for name, text in {
        "lambdas/__init__.py": "",
        "lambdas/one/__init__.py": "",
        "lambdas/one/handler.py": "one = 1",
        "lambdas/one/parts/part.py": "part = 1",
        "lambdas/one/notes.txt": "not code",
        "lambdas/one/__pycache__/handler.cpython-311.pyc": "compiled",
        "lambdas/two/handler.py": "two = 2",
        "lambdas/unfinished/decide.py": "",
        "foundation/backoff.py": "wait = 1",
        "transcripts/__init__.py": "",
        "transcripts/models.py": "model = 1",
        "speech/pcm.py": "pcm = 1",
    }.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def fake_install(folder: Path) -> None:
    """What an installer leaves, wanted or not."""
    for name in (
        "bin/jp.py",
        ".lock",
        "six.py",
        "pydantic/__pycache__/main.cpython-311.pyc",
        "pydantic/main.py",
        "pydantic-2.0.dist-info/METADATA",
        "pydantic-2.0.dist-info/RECORD",
        "pydantic-2.0.dist-info/INSTALLER",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def fake_compile(folder: Path) -> None:
    cache = folder / "pydantic" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "main.cpython-313.pyc").write_text("bytecode")


def test_a_function_gets_its_own_sources_and_those_that_it_may_import(
    tree: Path, tmp_path: Path
) -> None:
    bundle.bundle_functions(tree, tmp_path / "built")

    assert {path.name for path in (tmp_path / "built").iterdir()} == {"one", "two"}
    assert files(tmp_path / "built" / "one") == {
        "foundation/backoff.py",
        "lambdas/__init__.py",
        "lambdas/one/__init__.py",
        "lambdas/one/handler.py",
        "lambdas/one/parts/part.py",
        "transcripts/__init__.py",
        "transcripts/models.py",
    }


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(
    tree: Path, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(tree, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in elsewhere.rglob("*.py"):
        path.chmod(0o600)

    bundle.bundle_functions(tree, tmp_path / "first")
    bundle.bundle_functions(elsewhere, tmp_path / "second")

    assert digest(tmp_path / "first") == digest(tmp_path / "second")


def test_what_is_no_function_any_more_is_gone(tree: Path, tmp_path: Path) -> None:
    bundle.bundle_functions(tree, tmp_path / "built")
    shutil.rmtree(tree / "lambdas" / "two")

    bundle.bundle_functions(tree, tmp_path / "built")

    assert [path.name for path in (tmp_path / "built").iterdir()] == ["one"]


def test_the_layer_holds_packages_and_no_trace_of_their_installation(tmp_path: Path) -> None:
    bundle.bundle_layer(fake_install, fake_compile, tmp_path / "layer")

    assert files(tmp_path / "layer") == {
        "python/six.py",
        "python/pydantic/main.py",
        "python/pydantic/__pycache__/main.cpython-313.pyc",
        "python/pydantic-2.0.dist-info/METADATA",
    }


def test_without_an_interpreter_of_their_version_packages_stay_uncompiled(tmp_path: Path) -> None:
    bundle.bundle_layer(fake_install, None, tmp_path / "layer")

    assert "python/pydantic/main.py" in files(tmp_path / "layer")
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_missing_interpreter_fails_no_build_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built: list[object] = []
    monkeypatch.setattr(bundle, "find_interpreter", lambda: None)
    monkeypatch.setattr(bundle, "bundle_layer", lambda _install, compile_: built.append(compile_))
    monkeypatch.setattr(sys, "argv", ["bundle", "layer"])

    assert bundle.main() == 0
    assert built == [None]
    assert f"no Python {bundle.PYTHON} was found" in capsys.readouterr().err


def test_a_shim_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "shims" / f"python{bundle.PYTHON}"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")

    assert bundle.find_interpreter() == INTERPRETER


@pytest.mark.skipif(INTERPRETER is None, reason=f"there is no Python {bundle.PYTHON}")
def test_bytecode_is_the_same_wherever_it_is_compiled_and_names_lambdas_paths(
    tmp_path: Path,
) -> None:
    assert INTERPRETER is not None
    caches = []
    for name in ("first", "second"):
        packages = tmp_path / name / "python"
        packages.mkdir(parents=True)
        (packages / "one.py").write_text("NAMES = frozenset({'a', 'b', 'c'})\n")
        bundle.compile_packages(packages, INTERPRETER)
        (cache,) = packages.rglob("*.pyc")
        caches.append(cache.read_bytes())

    assert caches[0] == caches[1]
    assert b"/opt/python/one.py" in caches[0]
    assert caches[0][:8] == MAGIC[bundle.PYTHON] + b"\r\n\1\0\0\0"


def test_two_layers_are_the_same(tmp_path: Path) -> None:
    bundle.bundle_layer(fake_install, fake_compile, tmp_path / "first")
    bundle.bundle_layer(fake_install, fake_compile, tmp_path / "second")

    assert digest(tmp_path / "first") == digest(tmp_path / "second")


def test_an_interrupted_build_leaves_what_was_there(tmp_path: Path) -> None:
    bundle.bundle_layer(fake_install, fake_compile, tmp_path / "build" / "layer")
    before = digest(tmp_path / "build" / "layer")

    def interrupted(folder: Path) -> None:
        fake_install(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle.bundle_layer(interrupted, fake_compile, tmp_path / "build" / "layer")

    assert digest(tmp_path / "build" / "layer") == before
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["layer"]


def test_packages_are_the_locked_ones_ready_for_lambda_and_never_built_here() -> None:
    words = " ".join(bundle.uv_call(Path("folder")))

    assert "--require-hashes" in words
    assert "--no-deps" in words
    assert "--only-binary :all:" in words
    assert "aarch64" in words
    assert f"--python-version {bundle.PYTHON}" in words


def test_packages_are_for_the_runtime_that_functions_get() -> None:
    assert functions.RUNTIME.name == f"python{bundle.PYTHON}"


def test_the_layer_describes_every_service_that_a_function_talks_to() -> None:
    used = {
        name
        for path in (ROOT / "lambdas").rglob("*.py")
        for name in re.findall(r"(?:client|connect)\(\s*\"([a-z0-9-]+)\"", path.read_text())
    }

    assert used == {"cloudwatch", "cognito-idp", "dynamodb", "ecs", "s3", "sqs", "ssm"}
    assert used <= botocore_data.SERVICES


def test_every_function_of_the_tree_is_bundled() -> None:
    assert bundle.names() == [
        "api",
        "batch_worker",
        "router",
        "session_combiner",
        "transcript_processor",
    ]


made = pytest.mark.skipif(not bundle.LAYER.is_dir(), reason="`make build` makes the layer")


@made
def test_a_cold_start_compiles_nothing_of_the_layer() -> None:
    tag = f"cpython-{bundle.PYTHON.replace('.', '')}"

    if not list(bundle.LAYER.rglob("*.pyc")):
        pytest.skip(f"the layer was built without Python {bundle.PYTHON}")
    for source in bundle.LAYER.rglob("*.py"):
        code = (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").read_bytes()
        # Python's magic number, and the mark of bytecode whose source nobody compares (PEP 552).
        assert code[:8] == MAGIC[bundle.PYTHON] + b"\r\n\1\0\0\0", source


@made
def test_everything_compiled_in_the_layer_is_for_arm64() -> None:
    compiled = [path for path in bundle.LAYER.rglob("*") if ".so" in path.suffixes]

    assert compiled
    for path in compiled:
        head = path.read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == 183, path  # EM_AARCH64
        if "abi3" not in path.suffixes[0]:  # those are for every version
            assert "aarch64" in path.name
            assert bundle.PYTHON.replace(".", "") in path.name


def planned(*arguments: str) -> str:
    """Return what `make` would do."""
    return subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=bundle.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_build_makes_all_that_a_synth_picks_up_and_a_demo_no_packages_for_arm64() -> None:
    build, demo, test = (planned(goal) for goal in ("build", "demo", "setup-test"))

    for made in ("build/.functions", "frontend/dist/index.html"):
        assert all(made in plan for plan in (build, demo, test))
    assert all("build/.layer" in plan for plan in (build, test))
    assert "build/.layer" not in demo


def test_a_change_of_anything_in_a_bundle_makes_it_anew() -> None:
    rules = planned("--print-data-base", "build/.functions")
    (prerequisites,) = re.findall(r"^build/\.functions: (.*) \|", rules, re.MULTILINE)

    sources = {
        str(path.relative_to(bundle.ROOT))
        for name in bundle.names()
        for path in bundle.sources(bundle.ROOT, name)
    }
    assert sources <= set(prerequisites.split())
