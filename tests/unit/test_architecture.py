"""ARCHITECTURE.md's table of rooms agrees with the tree and with the import contracts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
CHECKS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS = set(CHECKS["root_packages"])


def rows() -> list[tuple[str, str]]:
    """Return the folders and the permitted imports of each row."""
    section = (ROOT / "ARCHITECTURE.md").read_text().split("\n## Rooms\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [(first, last.strip()) for first, _, last in cells]


def folders(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)/`", cell)


LAYERS = [each for each in CHECKS["contracts"] if each["type"] == "layers"]
TABLE = {folder: permitted for cell, permitted in rows() for folder in folders(cell)}


def permitted(room: str) -> set[str]:
    """Return what the contracts let `room` import of other rooms."""
    contracts = [
        each
        for each in CHECKS["contracts"]
        if each["type"] == "forbidden" and each["source_modules"] == [room]
    ]
    forbidden = {name for each in contracts for name in each["forbidden_modules"]}
    return ROOMS - forbidden - {room}


def test_every_room_of_the_tree_is_in_the_table_and_nothing_else() -> None:
    python = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert python - {"benchmarks"} == ROOMS
    assert python | {"docs", "frontend", "pipelines", "tests", ".github"} == set(TABLE)
    assert all((ROOT / folder).is_dir() for folder in TABLE)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_the_table_permits_what_the_contracts_permit(room: str) -> None:
    cell = TABLE[room]
    named = {"any room": ROOMS - {room}, "no room": set()}.get(
        cell, set(re.findall(r"`(\w+)`", cell))
    )

    assert named == permitted(room)


def test_no_contract_permits_an_import_that_goes_up() -> None:
    (layers,) = (each["layers"] for each in LAYERS if "containers" not in each)
    floors = {
        room: height for height, row in enumerate(reversed(layers)) for room in row.split(" | ")
    }

    assert set(floors) == ROOMS
    assert not [(a, b) for a in ROOMS for b in permitted(a) if floors[b] >= floors[a]]


@pytest.mark.parametrize("room", ["ecs_service", "gpu_server", "infra"])
def test_the_floors_of_a_room_are_those_that_are_checked(room: str) -> None:
    (checked,) = (each["layers"] for each in LAYERS if each.get("containers") == [room])
    text = (ROOT / "ARCHITECTURE.md").read_text().split(f"\n**`{room}/`**\n\n")[1]
    block = text.split("\n\n")[0].splitlines()

    assert [re.split(" {2,}", line.strip())[0] for line in block] == [
        each for each in checked if each != "__main__"
    ]


def test_the_layers_of_the_page_are_those_that_are_checked() -> None:
    rules = (ROOT / "frontend/.dependency-cruiser.mjs").read_text()
    checked = rules.split("const LAYERS = [")[1].split("\n]")[0].strip().splitlines()
    text = (ROOT / "ARCHITECTURE.md").read_text()
    (line,) = re.findall(r"`app` →[^.]*", text)

    assert [re.findall(r"`(\w+)`", row) for row in line.split("→")] == [
        re.findall(r"'(\w+)'", row) for row in checked
    ]
