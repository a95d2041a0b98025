"""Every deployable is given the rooms that its code imports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.common.images import LICENCE_FILES
from infra.gpu.image import SHARED_ROOMS
from infra.live.task import IMAGE_SOURCES
from local_cloud.stacks.templates import INPUTS
from scripts import bundle
from tests.support.imports import ROOT, own_files

pytestmark = pytest.mark.unit

SERVERS = ("ecs_service", "gpu_server")


def copied(server: str) -> set[str]:
    """Return the rooms that an image has."""
    dockerfile = (ROOT / server / "Dockerfile").read_text()
    return set(re.findall(r"^COPY (\w+) /app/\1$", dockerfile, re.MULTILINE))


def lacking(starts: Iterable[Path], given: Iterable[Path]) -> list[str]:
    """Return the files of ours that are imported and not given."""
    return sorted(str(path.relative_to(ROOT)) for path in own_files(starts) - set(given))


@pytest.mark.parametrize("name", bundle.names())
def test_a_function_has_what_it_imports(name: str) -> None:
    assert not lacking([ROOT / "lambdas" / name / "handler.py"], bundle.sources(ROOT, name))


@pytest.mark.parametrize("server", SERVERS)
def test_an_image_has_what_its_server_imports(server: str) -> None:
    rooms = copied(server)

    assert server in rooms
    given = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert not lacking([path for path in given if path.parent.name != "image"], given)


@pytest.mark.parametrize("server", SERVERS)
def test_an_image_has_the_licences_beside_the_code(server: str) -> None:
    assert f"COPY {' '.join(LICENCE_FILES)} /app/\n" in (ROOT / server / "Dockerfile").read_text()


def test_builds_see_the_rooms_that_images_have_and_no_others() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    rooms = {server: copied(server) for server in SERVERS}

    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set().union(
        LICENCE_FILES, *rooms.values()
    )
    assert rooms["ecs_service"] == set(IMAGE_SOURCES)
    assert rooms["gpu_server"] == {"gpu_server", *SHARED_ROOMS}


def test_a_local_deployment_has_what_the_templates_are_made_from() -> None:
    given = [path for name in INPUTS for path in ((ROOT / name), *(ROOT / name).rglob("*.py"))]

    assert not lacking([ROOT / "app.py"], given)
