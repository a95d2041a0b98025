"""The Dockerfiles, and how `make images` and the tests build them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.image_builds import CERTIFICATES, PUBLIC_MIRROR, chosen_mirror, pip_configuration

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))


def copied(dockerfile: str) -> set[str]:
    """Return the top folders that a Dockerfile copies out of the tree."""
    lines = dockerfile.replace("\\\n", " ").splitlines()
    copies = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from=)", line)]
    return {Path(word).parts[0] for words in copies for word in words if word[:2] != "--"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_build_sees_the_folders_that_it_copies(dockerfile: Path) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    seen = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert "*" in rules
    assert {"speech", "transcripts", dockerfile.parent.name} <= copied(dockerfile.read_text())
    assert copied(dockerfile.read_text()) <= seen


def test_the_tag_of_the_gpu_servers_image_depends_on_every_folder_in_it() -> None:
    script = (ROOT / "scripts" / "find-gpu-image.sh").read_text()

    hashed = set(re.findall(r"HEAD:(\w+)", script))
    assert hashed == copied((ROOT / "gpu_server" / "Dockerfile").read_text())


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_packages_are_installed_with_the_registry_and_certificates_of_the_builder(
    dockerfile: Path,
) -> None:
    text = dockerfile.read_text()

    assert text.count("id=pip,target=/run/secrets/pip.conf") > 0
    assert text.count("PIP_CONFIG_FILE=/run/secrets/pip.conf") == text.count("id=pip,")
    assert text.count(f"id=certificates,target={CERTIFICATES}") == text.count("id=pip,")


def test_the_service_keeps_the_descriptions_of_the_aws_services_that_it_calls() -> None:
    """The Dockerfile deletes botocore's other four hundred; a new service is added there."""
    kept = set(re.findall(r"! -name (\S+)", (ROOT / "ecs_service" / "Dockerfile").read_text()))
    code = [
        path.read_text()
        for folder in ("ecs_service", "speech", "transcripts", "translation")
        for path in (ROOT / folder).rglob("*.py")
    ]
    called = {
        name
        for text in code
        for name in re.findall(r"\.(?:client|resource)\(\s*\"([a-z0-9-]+)\"", text)
    }

    assert called
    assert called <= kept


@pytest.mark.parametrize("builder", ["docker", "podman", "finch", "buildah"])
def test_make_builds_with_the_first_builder_that_is_there(builder: str, tmp_path: Path) -> None:
    program = tmp_path / builder
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    done = subprocess.run(
        [shutil.which("make") or "make", "--dry-run", "images"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert f" {builder} build --file ecs_service/Dockerfile --tag cloudscribe/ecs_service" in (
        done.stdout
    )


# --- an image is tried before it is pushed ----------------------------------------------------


DOCKER = """#!/bin/sh
case $1 in
    run) echo container ;;
    port) echo 127.0.0.1:32768 ;;
    exec) echo "$USER_ID" ;;
    inspect) echo "$STATUS" ;;
    rm) touch "$REMOVED" ;;
esac
"""


@pytest.mark.parametrize(
    ("curl", "user", "status", "complaint"),
    [
        ("true", "10001", "0", None),
        ("false", "10001", "0", "does not answer /health"),
        ("true", "0", "0", "runs as root"),
        ("true", "10001", "137", "ends with status 137"),
    ],
)
def test_an_image_is_tried_and_its_container_removed(
    curl: str, user: str, status: str, complaint: str | None, tmp_path: Path
) -> None:
    for name, text in (("docker", DOCKER), ("curl", f"#!/bin/sh\n{curl}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    removed = tmp_path / "removed"

    done = subprocess.run(
        ["sh", "scripts/try-image.sh", "words", "8000", "/health", "--env", "DEVICE=cpu"],
        cwd=ROOT,
        env={
            "PATH": f"{tmp_path}:{os.defpath}",
            "USER_ID": user,
            "STATUS": status,
            "REMOVED": str(removed),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == (0 if complaint is None else 1)
    assert (complaint or "starts, answers and stops") in done.stderr
    assert removed.exists()


# --- what the tests' own builds need ---------------------------------------------------------


def test_a_build_gets_registries_but_not_this_machines_folders() -> None:
    listing = """:env:.index-url='https://variable.example/simple'
freeze.timeout='1'
global.cert='/srv/company.pem'
global.extra-index-url='file:///srv/packages https://more.example/simple'
global.find-links='/srv/wheels'
global.index-url='https://files.example/simple'
global.timeout='10'
install.timeout='20'"""

    assert pip_configuration(listing, certificates=True).splitlines() == [
        "[global]",
        f"cert = {CERTIFICATES}",
        "extra-index-url = https://more.example/simple",
        "index-url = https://variable.example/simple",
        "timeout = 20",
    ]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (
            [
                "https://others.example/apt|bookworm|main|Others",
                "http://mirror.example/debian|bookworm-updates|main|Debian",
                "http://mirror.example/debian|bookworm|main|Debian",
            ],
            ("bookworm", "http://mirror.example/debian"),
        ),
        (["http://mirror.example/ubuntu|noble|main|Ubuntu"], ("bookworm", PUBLIC_MIRROR)),
    ],
)
def test_the_stand_in_comes_from_apts_mirror_or_from_debian(
    targets: list[str], expected: tuple[str, str]
) -> None:
    assert chosen_mirror(targets) == expected
