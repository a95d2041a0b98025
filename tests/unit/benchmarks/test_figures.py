from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import WordArrivals, frame_of, quantile, table
from benchmarks.live import Measurement, memory_per_stream, verdicts

pytestmark = pytest.mark.unit


@given(values=st.lists(st.floats(0, 1e6), min_size=1), share=st.floats(0, 1))
def test_a_quantile_is_a_measured_value_that_its_share_of_values_does_not_exceed(
    values: list[float], share: float
) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_without_values_there_is_no_quantile() -> None:
    assert math.isnan(quantile([], 0.5))


@given(number=st.integers(0, 100_000))
def test_a_word_that_ends_with_a_frame_ends_in_it(number: int) -> None:
    assert frame_of((number + 1) * 0.1, 0.1) == number
    assert frame_of((number + 1) * 0.1 - 0.05, 0.1) == number


def message(kind: str, seq: int, *ends: float) -> str:
    return json.dumps({"type": kind, "seq": seq, "words": [{"endTime": end} for end in ends]})


def test_a_word_arrives_with_the_first_message_that_has_it() -> None:
    arrivals = WordArrivals()
    arrivals.add(message("partial", 1, 0.4), 10.0)
    arrivals.add(message("partial", 2, 0.4, 0.8, 1.2), 11.0)
    arrivals.add(message("final", 3, 0.4, 0.8, 1.2), 12.0)
    arrivals.add(message("partial", 4, 1.6), 13.0)
    assert sorted(arrivals.words) == [(0.4, 10.0), (0.8, 11.0), (1.2, 11.0), (1.6, 13.0)]
    assert (arrivals.messages, arrivals.missing, arrivals.repeated) == (4, 0, 0)


def test_gaps_and_repetitions_are_counted_and_other_messages_are_not() -> None:
    arrivals = WordArrivals()
    for text in (
        message("partial", 1, 0.4),
        message("partial", 4, 0.8),
        message("partial", 4, 0.8),
        '{"type":"heartbeat","seq":4}',
    ):
        arrivals.add(text, 0.0)
    assert (arrivals.messages, arrivals.missing, arrivals.repeated) == (3, 2, 1)


def measured(server: str, streams: int, **changes: Any) -> Measurement:
    values: dict[str, Any] = dict.fromkeys(Measurement.__dataclass_fields__, 1.0)
    return Measurement(
        **values
        | {"server": server, "streams": streams, "lost_words": 0.0, "wrong_messages": 0.0}
        | changes
    )


def test_memory_per_stream_is_counted_from_the_smallest_load() -> None:
    ours = [measured("cloudscribe", n, rss=1_000_000 + 5_000 * n) for n in (1, 50, 200)]
    assert memory_per_stream(ours) == {("cloudscribe", 50): 5_000, ("cloudscribe", 200): 5_000}


def test_a_missed_target_names_the_excess() -> None:
    lines = verdicts(
        [
            measured("cloudscribe", 200, latency_p95=30.0, cpu_us_per_message=20.0),
            measured("node relay", 200, cpu_us_per_message=25.0),
        ]
    )
    assert lines[0] == "- MISSED: added latency p95, ms: 30.0, at most 25.0 (+20%)"
    assert lines[2].startswith("- kept: CPU per audio message")


def test_a_table_is_aligned_markdown() -> None:
    assert table(("a", "long"), [(1, 2.5), (10.06, math.nan)]).splitlines() == [
        "|    a | long |",
        "|-----:|-----:|",
        "|    1 | 2.50 |",
        "| 10.1 |    - |",
    ]
