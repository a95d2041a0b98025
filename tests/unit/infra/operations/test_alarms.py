"""Every alarm stands in docs/alarms.md, with who can trip it and what it does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.assembly import Assembly

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[4] / "docs" / "alarms.md"
ROW = re.compile(
    r"^\| `(?P<alarm>[\w/]+)` \| (?P<why>.+) \| (?P<who>.+) \| (?P<does>.+) \|$", re.MULTILINE
)
#: Whoever needs no rights in AWS for it.
OUTSIDERS = {"anyone"}
KNOWN = OUTSIDERS | {"uploader", "application", "AWS", "us"}


@dataclass(frozen=True)
class Row:
    who: frozenset[str]
    does: str

    @property
    def takes_back(self) -> bool:
        return "back" in self.does


@pytest.fixture(scope="module")
def table() -> dict[str, Row]:
    """The page's rows by the alarm's logical id, without its hash."""
    rows = [each.groupdict() for each in ROW.finditer(PAGE.read_text())]
    found = {
        row["alarm"].replace("/", ""): Row(frozenset(row["who"].split(", ")), row["does"])
        for row in rows
    }
    assert len(found) == len(rows), "an alarm stands there twice"
    return found


def alarms(assembly: Assembly, of: str = "*") -> dict[str, dict[str, Any]]:
    return {
        _name(where.rpartition("/")[2]): alarm["Properties"]
        for where, alarm in assembly.resources("AWS::CloudWatch::Alarm", of)
    }


def taking_back(assembly: Assembly) -> set[str]:
    """Alarms that undo a deployment of ECS, or of a function by CodeDeploy."""
    used = [
        service["Properties"].get("DeploymentConfiguration", {}).get("Alarms", {})
        for _, service in assembly.resources("AWS::ECS::Service")
    ] + [
        group["Properties"].get("AlarmConfiguration", {})
        for _, group in assembly.resources("AWS::CodeDeploy::DeploymentGroup")
    ]
    return {_name(each) for each in re.findall(r'"Ref": "(\w+)"', json.dumps(used))}


def _name(logical_id: str) -> str:
    return logical_id[:-8]  # the CDK's hash of the path


def test_the_page_has_every_alarm_and_no_other(assembly: Assembly, table: dict[str, Row]) -> None:
    assert alarms(assembly).keys() == table.keys()


def test_the_page_explains_who_can_trip_an_alarm(
    table: dict[str, Row],
) -> None:
    for alarm, row in table.items():
        assert row.who, alarm
        assert row.who <= KNOWN, alarm
        assert all(f"| {who} |" in PAGE.read_text() for who in row.who)


def test_the_page_knows_which_alarms_take_a_deployment_back(
    assembly: Assembly, table: dict[str, Row]
) -> None:
    found = taking_back(assembly)

    assert found
    assert found == {alarm for alarm, row in table.items() if row.takes_back}


def test_no_outsider_can_take_a_deployment_back(table: dict[str, Row]) -> None:
    for alarm, row in table.items():
        if row.takes_back:
            assert not row.who & OUTSIDERS, alarm


@pytest.mark.parametrize("environment", ["demo", "solo", "prod", "full"])
def test_every_alarm_sends_a_mail_where_there_are_operations(
    assembly: Assembly, table: dict[str, Row], environment: str
) -> None:
    for alarm, properties in alarms(assembly, environment).items():
        assert ("mail" in table[alarm].does) == bool(properties.get("AlarmActions")), alarm
