"""Reads and changes the ECS service whose tasks are machines with a GPU.

Tags of the service store the function's state between invocations.

RuntimeError
└── NoService    the service does not exist
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from lambdas.batch_worker.decide import Decision, Fleet

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import TagTypeDef

KEPT_WARM = "cloudscribe:kept-warm"
WARM_UNTIL = "cloudscribe:warm-until"
SURPLUS_SINCE = "cloudscribe:surplus-since"
WAITING_SINCE = "cloudscribe:waiting-since"
WORKING_OFF = "cloudscribe:working-off"


class NoService(RuntimeError):
    """The service does not exist."""


class Machines:
    """The machines, as an ECS service. Methods raise botocore's errors; `read` also `NoService`."""

    def __init__(self, client: ECSClient, *, cluster: str, service: str) -> None:
        self._client = client
        self._cluster = cluster
        self._service = service

    def read(self) -> tuple[Fleet, str]:
        """Return the machines as they are, and the service's ARN."""
        answer = self._client.describe_services(
            cluster=self._cluster, services=[self._service], include=["TAGS"]
        )
        active = [each for each in answer["services"] if each.get("status") == "ACTIVE"]
        if not active:
            raise NoService("the service of the machines is not there")
        tags = {tag["key"]: tag["value"] for tag in active[0].get("tags", [])}
        fleet = Fleet(
            desired=active[0]["desiredCount"],
            kept_warm=KEPT_WARM in tags,
            warm_until=_moment(tags.get(WARM_UNTIL)),
            surplus_since=_moment(tags.get(SURPLUS_SINCE)),
            waiting_since=_moment(tags.get(WAITING_SINCE)),
            working_off=WORKING_OFF in tags,
        )
        return fleet, active[0]["serviceArn"]

    def keep_warm(self, arn: str, *, warm: bool) -> None:
        """Store whether one machine is to be kept ready until somebody ends that."""
        self._remember(arn, {KEPT_WARM: "yes" if warm else None})

    def keep_warm_until(self, arn: str, until: datetime | None) -> None:
        """Store until when one machine is to be kept ready."""
        self._remember(arn, {WARM_UNTIL: until.isoformat() if until else None})

    def apply(self, arn: str, fleet: Fleet, decision: Decision) -> None:
        """Apply a decision: change the number of machines and the tags that differ."""
        if decision.desired != fleet.desired:
            self._client.update_service(
                cluster=self._cluster, service=self._service, desiredCount=decision.desired
            )
        moments = {
            SURPLUS_SINCE: (fleet.surplus_since, decision.surplus_since),
            WAITING_SINCE: (fleet.waiting_since, decision.waiting_since),
        }
        changes = {
            name: after.isoformat() if after else None
            for name, (before, after) in moments.items()
            if before != after
        }
        if decision.working_off != fleet.working_off:
            changes[WORKING_OFF] = "yes" if decision.working_off else None
        self._remember(arn, changes)

    def _remember(self, arn: str, values: Mapping[str, str | None]) -> None:
        """Set tags, or remove those whose value is None."""
        kept: list[TagTypeDef] = [
            {"key": key, "value": value} for key, value in values.items() if value is not None
        ]
        gone = [key for key, value in values.items() if value is None]
        if kept:
            self._client.tag_resource(resourceArn=arn, tags=kept)
        if gone:
            self._client.untag_resource(resourceArn=arn, tagKeys=gone)


def _moment(text: str | None) -> datetime | None:
    """Parse a tag's time; None if the tag is missing or malformed, so that waiting starts anew."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
