"""The line from which CloudWatch takes its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecs_service import telemetry
from ecs_service.conversations.journal import Journal
from ecs_service.embedded_metrics import UNITS, MetricsReader, format_metrics
from ecs_service.limits.stream_slots import StreamSlots
from infra.live.service import SLOTS_METRIC

pytestmark = pytest.mark.unit


def test_a_line_names_its_figures_for_cloudwatch() -> None:
    line = format_metrics("Cloudscribe/demo", {"OpenStreams": 2.0, "Lag": 0.12345}, 1_790_000.5)

    document = json.loads(line)
    assert line.count("\n") == 1, "one event in the log"
    assert (document["OpenStreams"], document["Lag"]) == (2.0, 0.123)
    assert document["_aws"]["Timestamp"] == 1_790_000_500, "milliseconds"
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Cloudscribe/demo"
    assert directive["Metrics"] == [
        {"Name": "OpenStreams", "Unit": "Count"},
        {"Name": "Lag", "Unit": "Seconds"},
    ]


def test_there_are_no_dimensions_to_pay_for() -> None:
    document = json.loads(format_metrics("n", dict.fromkeys(UNITS, 0.0), 0.0))

    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [[]]


def test_slots_in_use_are_a_share() -> None:
    slots = StreamSlots(4)
    reader = MetricsReader(slots, None)
    with slots.hold():
        values = reader.read()

    assert (values["OpenStreams"], values["SlotsInUse"]) == (1.0, 25.0)
    assert reader.read()["SlotsInUse"] == 0.0


def test_what_autoscaling_follows_is_published() -> None:
    assert SLOTS_METRIC in MetricsReader(StreamSlots(1), None).read()


def test_counters_are_read_as_changes() -> None:
    telemetry.refusals.labels("at_capacity").inc(5)
    telemetry.final_delay.observe(9.0)
    reader = MetricsReader(StreamSlots(1), None)

    telemetry.refusals.labels("at_capacity").inc()
    telemetry.refusals.labels("draining").inc()
    telemetry.final_delay.observe(0.5)
    telemetry.final_delay.observe(1.5)
    busy, quiet = reader.read(), reader.read()

    assert busy["Refusals"] == 2.0
    assert busy["FinalDelay"] == pytest.approx(1.0)
    assert quiet["Refusals"] == 0.0
    assert "FinalDelay" not in quiet, "no finals, no delay"


def test_waiting_finals_are_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "outbox.db")
    journal.append("{}")

    values = MetricsReader(StreamSlots(1), journal).read()
    journal.close()

    assert values["OutboxWaiting"] == 1.0
    assert 0.0 <= values["OutboxAge"] < 60.0


def test_every_figure_has_a_unit() -> None:
    telemetry.lag.observe(0.1)
    telemetry.final_delay.observe(0.1)

    assert set(MetricsReader(StreamSlots(1), None).read()) <= set(UNITS)
