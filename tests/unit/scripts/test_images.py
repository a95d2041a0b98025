from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest

from scripts import builders, images, registry, stand_in_base
from scripts.builders import ROOT, Buildah, CannotBuild, Docker, Order
from scripts.images import Built

pytestmark = pytest.mark.unit

DOCKERFILES = [ROOT / folder / "Dockerfile" for folder in images.folders()]
DOCKERFILE = """\
ARG BASE=registry.example/python:3
FROM ${BASE} AS first
COPY room/requirements.txt /tmp/
FROM ${BASE}
COPY room below \\
     /app/
COPY --from=first /opt /opt
COPY --chown=1 room /elsewhere
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("room", "below"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("one = 1\n")
    (tmp_path / "room" / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "room" / "requirements.txt").write_text("")
    return tmp_path


# --- what an image is made of -------------------------------------------------------------


def test_every_folder_with_a_dockerfile_is_an_image(tree: Path) -> None:
    assert images.folders(tree) == ["room"]


def test_a_dockerfile_tells_what_it_copies_and_what_it_stands_on() -> None:
    assert builders.sources(DOCKERFILE) == ["room/requirements.txt", "room", "below"]
    assert builders.default_base(DOCKERFILE) == "registry.example/python:3"


def test_an_image_is_built_anew_when_what_it_is_made_of_changes(tree: Path) -> None:
    order = Order(folder="room")
    before = images.fingerprint(tree, order, "base")

    assert images.fingerprint(tree, order, "another base") != before
    (tree / "below" / "__pycache__").mkdir()
    (tree / "below" / "__pycache__" / "code.pyc").write_bytes(b"compiled")
    (tree / "elsewhere.py").write_text("no part of it\n")
    assert images.fingerprint(tree, order, "base") == before
    (tree / "below" / "code.py").write_text("one = 2\n")
    assert images.fingerprint(tree, order, "base") != before


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_build_sees_the_folders_that_it_copies(dockerfile: Path) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    seen = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert "*" in rules
    assert {Path(name).parts[0] for name in builders.sources(dockerfile.read_text())} <= seen


def test_the_service_keeps_the_descriptions_of_the_aws_services_that_it_talks_to() -> None:
    """Of botocore's four hundred the Dockerfile leaves a few; who calls another adds it there."""
    dockerfile = (ROOT / "ecs_service" / "Dockerfile").read_text()
    kept = set(re.findall(r"! -name (\S+)", dockerfile))
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


# --- the builders -------------------------------------------------------------


def order(**changes: object) -> Order:
    return Order(folder="room", secrets={"pip": Path("/secret/pip.conf")}, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("builder", [Docker("docker"), Buildah("buildah")], ids=lambda b: b.name)
def test_both_builders_are_told_the_same(builder: Docker | Buildah) -> None:
    call = " ".join(builder.command(order(base="below", arguments={"MODEL": "large-v3"})))

    assert f"--file {ROOT}/room/Dockerfile --tag cloudscribe/room" in call
    assert "--build-arg BASE=below --build-arg MODEL=large-v3" in call
    assert "--secret id=pip,src=/secret/pip.conf" in call
    assert call.endswith(f" {ROOT}")


def test_docker_builds_for_another_machine_and_buildah_refuses() -> None:
    other = "linux/arm64" if platform.machine() == "x86_64" else "linux/amd64"

    assert f"--platform {other}" in " ".join(Docker("docker").command(order(platform=other)))
    with pytest.raises(CannotBuild, match="takes Docker"):
        Buildah("buildah").command(order(platform=other))


def test_a_proxys_address_is_not_written_into_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy.example")

    call = Docker("docker").command(order())

    assert "HTTPS_PROXY" in call
    assert not any("password" in word for word in call)


def test_a_machine_without_a_builder_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(CannotBuild, match="apt-get install buildah debootstrap"):
        builders.builder()


@pytest.mark.parametrize(
    ("text", "size"), [("329 MB", 329_000_000), ("1.5 GB", 1_500_000_000), ("12 kB", 12_000)]
)
def test_sizes_are_read_as_buildah_writes_them(text: str, size: int) -> None:
    assert builders.size_in_bytes(text) == size


# --- the registry of packages -------------------------------------------------------------


def test_of_pips_settings_the_environment_is_stronger_than_files() -> None:
    listing = (
        "global.index-url='https://files.example/simple'\n"
        "global.timeout='10'\n"
        "install.timeout='20'\n"
        ":env:.index-url='https://variable.example/simple'\n"
        "freeze.timeout='1'\n"
    )

    assert registry.settings(listing) == {
        "index-url": "https://variable.example/simple",
        "timeout": "20",
    }


def test_a_build_is_told_of_registries_but_not_of_this_machines_folders() -> None:
    chosen = {
        "index-url": "https://registry.example/simple",
        "extra-index-url": "file:///srv/packages https://more.example/simple",
        "find-links": "/srv/wheels",
        "cert": "/srv/company.pem",
        "no-color": "true",
    }

    text = registry.pip_configuration(chosen, certificates=True)

    assert "index-url = https://registry.example/simple\n" in text
    assert "extra-index-url = https://more.example/simple\n" in text
    assert f"cert = {registry.CERTIFICATES}\n" in text
    assert "/srv" not in text
    assert "no-color" not in text


def test_the_certificates_are_those_that_pip_trusts(tmp_path: Path) -> None:
    of_pip, of_all = tmp_path / "pip.pem", tmp_path / "all.pem"
    of_all.touch()
    environment = {"SSL_CERT_FILE": str(of_all)}

    assert registry.certificates({"cert": str(of_pip)}, environment) == of_all
    of_pip.touch()
    assert registry.certificates({"cert": str(of_pip)}, environment) == of_pip
    assert registry.certificates({}, {}) is None


# --- the stand-in -------------------------------------------------------------


def test_the_stand_in_comes_from_the_mirror_of_this_machine() -> None:
    lines = [
        "https://others.example/apt|bookworm|main|Others",
        "http://mirror.example/debian|bookworm-updates|main|Debian",
        "http://mirror.example/debian|bookworm|main|Debian",
        "http://mirror.example/debian|bookworm|contrib|Debian",
    ]

    assert stand_in_base.chosen_mirror(lines) == ("bookworm", "http://mirror.example/debian")


def test_without_a_mirror_that_fits_the_stand_in_comes_from_debian_itself() -> None:
    lines = ["http://mirror.example/ubuntu|noble|main|Ubuntu"]

    assert stand_in_base.chosen_mirror(lines) == ("bookworm", stand_in_base.PUBLIC_MIRROR)


# --- the command -------------------------------------------------------------


def test_what_was_built_is_printed_for_people_or_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = Built(
        folder="ecs_service",
        image="cloudscribe/ecs_service",
        id="sha256:0123456789abcdef",
        size=280_000_000,
        seconds=12.3,
        builder="docker",
        base="below",
    )
    monkeypatch.setattr(images, "build", lambda _names, **_: [built])
    monkeypatch.setattr(sys, "argv", ["images", "--json"])

    assert images.main() == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert (printed["image"], printed["size"]) == (built.image, built.size)
    assert images.described(built) == (
        "cloudscribe/ecs_service: 280 MB, 0123456789ab, by docker on below in 12 s"
    )


def test_a_machine_that_cannot_build_has_an_exit_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_names: object, **_: object) -> None:
        raise CannotBuild("nothing to build with")

    monkeypatch.setattr(images, "build", refuse)
    monkeypatch.setattr(sys, "argv", ["images"])

    assert images.main() == images.EXIT_CANNOT_BUILD
    assert "nothing to build with" in capsys.readouterr().err


def test_an_unknown_image_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["images", "attic"])

    with pytest.raises(SystemExit, match="2"):
        images.main()
    assert "no Dockerfile in attic" in capsys.readouterr().err
