from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.health import Health
from benchmarks.recordings import Pair, Pass, Result, middle, verdicts

pytestmark = pytest.mark.unit


def passes(*audio_clock_cpu: tuple[float, float, float], text: str = "hello") -> Sequence[Pass]:
    return [
        Pass(audio=audio, clock=clock, cpu=cpu, own=0.1, transcripts={"a.wav": (text, audio)})
        for audio, clock, cpu in audio_clock_cpu
    ]


def pair(alone: Sequence[Pass], server: Sequence[Pass]) -> Pair:
    return Pair(transcriber="embedded", slots=1, way="queue", alone=alone, server=server)


def health(**changes: Any) -> Health:
    values: dict[str, Any] = {
        "slots": 2,
        "asked": 100,
        "refused": 0,
        "health_ms": {"p50": 2.0, "p99": 12.0},
        "late_ms": {"p99": 1.0},
        "running": 2,
        "waiting": 3,
        "upload_rate": 1e6,
    }
    return Health(**values | changes)


def test_a_share_is_that_of_most_audio_and_a_spoilt_pass_counts_for_nothing() -> None:
    alone = passes((1.0, 8.0, 4.0), (9.0, 9.0, 4.5), (2.0, 10.0, 5.0))
    server = passes((1.0, 10.0, 5.0), (9.0, 10.0, 5.0), (2.0, 90.0, 45.0))
    both = pair(alone, server)
    assert (both.cpu_share, both.clock_share) == pytest.approx((0.9, 0.9))
    assert both.own_per_recording == pytest.approx(0.1)
    assert both.own_share == pytest.approx(1 - 0.3 / 55)


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0.01, 1e3)), min_size=1))
def test_half_of_the_weight_is_on_either_side_of_the_middle(
    weighted: list[tuple[float, float]],
) -> None:
    value = middle(weighted)
    half = sum(weight for _, weight in weighted) / 2
    assert sum(weight for other, weight in weighted if other <= value) >= half * (1 - 1e-9)
    assert sum(weight for other, weight in weighted if other >= value) >= half * (1 - 1e-9)


def test_a_server_that_is_too_slow_by_either_measure_is_reported() -> None:
    slow = pair(passes((5.0, 9.0, 4.8)), passes((5.0, 10.0, 5.0)))
    cpu, time, same, _ = verdicts(Result(pairs=[slow], health=health()))
    assert cpu.startswith("- kept: embedded, 1 at a time, queue: 0.960")
    assert time.startswith("- MISSED: embedded, 1 at a time, queue: 0.900")
    assert same.startswith("- kept")


def test_speed_does_not_excuse_wrong_words() -> None:
    quick = pair(passes((5.0, 9.0, 9.0)), passes((5.0, 1.0, 1.0), text="he"))
    _, _, same, _ = verdicts(Result(pairs=[quick], health=health()))
    assert same == "- MISSED: embedded, 1 at a time, queue: transcripts that differ: 1"


@pytest.mark.parametrize(
    "changes",
    [
        {"health_ms": {"p99": 50.1}},
        {"refused": 1},
        {"running": 1},
        {"waiting": 2},
    ],
    ids=str,
)
def test_health_counts_only_when_it_is_quick_and_good_under_a_full_load(
    changes: dict[str, Any],
) -> None:
    assert verdicts(Result(pairs=[], health=health()))[-1].startswith("- kept")
    assert verdicts(Result(pairs=[], health=health(**changes)))[-1].startswith("- MISSED")
