"""What strangers can spend in an environment in which nobody signs in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from infra.costs.prices import METRICS_SETTING
from infra.costs.tasks import count_most_tasks, find_setting, find_task
from infra.costs.templates import EnvironmentResources, Resource
from infra.costs.usage import TRANSCRIBE, TRANSCRIBE_MEDICAL, list_called

#: Set for a task whose service requires tickets.
ACCESS_SETTING: Final = "ACCESS_TABLE"
SLOTS_SETTING: Final = "SLOTS"
STARTS_SETTING: Final = "TRANSCRIBE_STARTS_PER_SECOND"
#: The least that Amazon Transcribe charges for a stream, minutes.
LEAST_MINUTES: Final = Decimal("0.25")


def explain_open_access(resources: EnvironmentResources) -> Iterator[str]:
    """Yield a note for each service that everybody may use."""
    for service in resources.of("AWS::ECS::Service"):
        task = find_task(service, resources)
        # The GPU server, which sends no metrics of its own, is reached by nobody outside.
        is_public = find_setting(task, METRICS_SETTING) is not None
        if not is_public or find_setting(task, ACCESS_SETTING) is not None:
            continue
        spent = _spend_in_an_hour(service, resources)
        so_much = f" for up to ${24 * spent:,.0f} a day" if spent else ""
        yield (
            "ACCESS IS OPEN: everybody who knows the address of the page can listen, speak and "
            f"use speech recognition{so_much}. docs/access.md says how to give people accounts."
        )


def _spend_in_an_hour(service: Resource, resources: EnvironmentResources) -> Decimal:
    """Return what Amazon Transcribe can charge for an hour, US dollars; 0 if it is not called."""
    task = find_task(service, resources)
    minute = max(
        (rate.dollars for rate in list_called(task) if rate in {TRANSCRIBE, TRANSCRIBE_MEDICAL}),
        default=Decimal(0),
    )
    tasks = count_most_tasks(service, resources)
    slots = Decimal(find_setting(task, SLOTS_SETTING) or 0) * tasks
    starts = Decimal(find_setting(task, STARTS_SETTING) or 0) * tasks
    starts = starts.quantize(Decimal("0.1"))  # a task's share was rounded
    return 60 * minute * max(slots, 60 * LEAST_MINUTES * starts)
