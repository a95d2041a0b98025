"""Prints the service's metrics for CloudWatch: a line a minute in the embedded metric format.

CloudWatch Logs extracts the metrics from the line, so that neither an agent nor a permission to
publish is needed. Each metric costs by the month, so there are few and without dimensions: the
namespace separates environments, and statistics aggregate the tasks' samples.

| metric          | unit    | a sample is                                                          |
|-----------------|---------|----------------------------------------------------------------------|
| `OpenStreams`   | Count   | streams now; `Sum` is that of all tasks                              |
| `SlotsInUse`    | Percent | the task's slots that are taken now; autoscaling follows `Average`   |
| `Viewers`       | Count   | viewers' connections now                                             |
| `OutboxWaiting` | Count   | finals that wait for the queue                                       |
| `OutboxAge`     | Seconds | for how long the oldest of them has waited; 0 when there is none     |
| `Refusals`      | Count   | connections refused or ended by an error in the last minute          |
| `FinalDelay`    | Seconds | mean delay of the last minute's finals; no sample without finals     |
| `Lag`           | Seconds | mean audio that waited for the engine; no sample without streams     |

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time

import structlog
from prometheus_client import REGISTRY

from ecs_service import telemetry
from ecs_service.conversations.journal import Journal
from ecs_service.limits.stream_slots import StreamSlots

INTERVAL_SECONDS = 60.0

log = structlog.get_logger(__name__)

UNITS: Mapping[str, str] = {
    "OpenStreams": "Count",
    "SlotsInUse": "Percent",
    "Viewers": "Count",
    "OutboxWaiting": "Count",
    "OutboxAge": "Seconds",
    "Refusals": "Count",
    "FinalDelay": "Seconds",
    "Lag": "Seconds",
}


def format_metrics(namespace: str, values: Mapping[str, float], timestamp: float) -> str:
    """Return the line, with its end, for `values` at `timestamp`, seconds since the epoch.

    The names of `values` are those of `UNITS`.
    """
    document = {
        "_aws": {
            "Timestamp": round(timestamp * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [[]],
                    "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
                }
            ],
        },
        **{name: round(value, 3) for name, value in values.items()},
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


@dataclass(slots=True)
class MetricsReader:
    """Reads the current values; counters and histograms as the change since the last reading."""

    slots: StreamSlots
    journal: Journal | None
    _before: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start from the current counts, which other services of this process may have changed."""
        self.read()

    def read(self) -> dict[str, float]:
        """Return the current value of each metric in `UNITS` that has a sample."""
        taken = self.slots.taken
        values = {
            "OpenStreams": float(taken),
            "SlotsInUse": 100.0 * taken / self.slots.capacity,
            "Viewers": REGISTRY.get_sample_value("cloudscribe_viewers") or 0.0,
            "OutboxWaiting": float(self.journal.count_waiting()) if self.journal else 0.0,
            "OutboxAge": self.journal.oldest_age() if self.journal else 0.0,
            # The sum over all codes.
            "Refusals": self._growth(
                "refusals",
                sum(
                    sample.value
                    for metric in telemetry.refusals.collect()
                    for sample in metric.samples
                    if sample.name.endswith("_total")
                ),
            ),
        }
        for name, histogram in (("FinalDelay", "final_delay"), ("Lag", "lag")):
            count = self._growth(f"{histogram}_count", _sample(f"{histogram}_seconds_count"))
            total = self._growth(f"{histogram}_sum", _sample(f"{histogram}_seconds_sum"))
            if count:
                values[name] = total / count
        return values

    def _growth(self, name: str, now: float) -> float:
        before, self._before[name] = self._before.get(name, 0.0), now
        return now - before


async def print_metrics(namespace: str, reader: MetricsReader) -> None:
    """Print the metrics every minute."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            line = format_metrics(namespace, reader.read(), time())
        except sqlite3.Error as error:
            # Only a gap of a minute. A stream reports by itself when it cannot keep a final.
            log.error("metrics_failed", error=str(error))  # noqa: TRY400 - no stack needed
            continue
        with contextlib.suppress(OSError):  # nobody reads it any more
            sys.stdout.write(line)
            sys.stdout.flush()


def _sample(name: str) -> float:
    return REGISTRY.get_sample_value(f"cloudscribe_{name}") or 0.0
