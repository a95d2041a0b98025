from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_service.conversations.positions import (
    LATENESS_MS,
    MOST_STREAMS,
    MalformedPosition,
    Mark,
    Position,
    mark_of,
)
from tests.support.utterances import BEGIN, utterance

pytestmark = pytest.mark.unit

NOW = 1_800_000_000_000
START = NOW - LATENESS_MS


def mark(number: int | None, stream: str = "a", spoken: int = NOW) -> Mark:
    return Mark(stream.encode().ljust(8, b"."), number, spoken)


def position_of(*marks: Mark) -> Position:
    position = Position(START)
    for one in marks:
        position.add(one, NOW)
    return position


def sent(position: Position) -> Position:
    """Return the position as it comes back."""
    return Position.parse(position.encode())


def test_only_what_was_received_is_covered() -> None:
    position = sent(position_of(mark(1), mark(2), mark(4)))

    assert [n for n in range(1, 7) if position.covers(mark(n))] == [1, 2, 4]


def test_a_number_that_comes_late_closes_the_gap() -> None:
    position = sent(position_of(mark(1), mark(3), mark(4), mark(2), mark(5)))

    assert position.covers_range(mark(1).stream, 1, 5)


def test_what_was_said_before_the_first_number_counts_by_its_time() -> None:
    position = sent(position_of(mark(480)))

    assert position.covers(mark(479, spoken=START - 1))
    assert not position.covers(mark(479, spoken=START))


def test_streams_that_are_not_listed_and_finals_without_a_number_count_by_time() -> None:
    position = sent(position_of(mark(1)))

    for number in (None, 7):
        assert position.covers(mark(number, "other", spoken=START - 1))
        assert not position.covers(mark(number, "other", spoken=START))


def test_a_gap_that_nothing_can_fill_any_more_is_given_up() -> None:
    position = position_of(mark(1), mark(3))
    later = NOW + LATENESS_MS + 1
    position.add(mark(4, spoken=later), later)
    position.fold(later - LATENESS_MS)

    assert position.covers_range(mark(1).stream, 1, 4)


def test_a_stream_that_ended_long_ago_leaves_the_position() -> None:
    position = position_of(mark(1, "ended"), mark(1, "goes-on"))
    position.add(mark(2, "goes-on", spoken=NOW + LATENESS_MS), NOW + LATENESS_MS)
    position.fold(NOW + 1)

    assert len(sent(position)._streams) == 1
    assert sent(position).covers(mark(1, "ended"))


def test_of_many_streams_the_oldest_are_left_out_and_sent_again() -> None:
    position = sent(position_of(*(mark(1, f"s{n}") for n in range(MOST_STREAMS + 4))))

    covered = [n for n in range(MOST_STREAMS + 4) if position.covers(mark(1, f"s{n}"))]
    assert covered == list(range(4, MOST_STREAMS + 4))


def test_the_largest_position_has_a_kilobyte() -> None:
    position = Position(START)
    for stream in range(40):
        for number in range(1, 2**31, 2**27 + stream):
            position.add(mark(number, f"s{stream}"), NOW)

    assert 900 < len(position.encode()) <= 1024
    assert sent(position).covers(mark(1, "s39"))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2**31 - 1)), max_size=40, unique=True)
)
def test_nothing_is_covered_that_was_not_added(finals: list[tuple[str, int]]) -> None:
    position = sent(position_of(*(mark(number, stream) for stream, number in finals)))

    for stream, number in finals:
        for near in (number - 1, number + 1):
            if near and (stream, near) not in finals:
                assert not position.covers(mark(near, stream))


@given(st.lists(st.integers(1, 60), min_size=1, unique=True))
def test_a_text_says_the_same_as_the_position(numbers: list[int]) -> None:
    position = position_of(*map(mark, numbers))

    assert sent(position).encode() == position.encode()


@given(st.binary(max_size=60))
def test_a_malformed_text_gets_a_named_error(streams: bytes) -> None:
    text = urlsafe_b64encode(b"\x01" + bytes(6) + streams).rstrip(b"=").decode()
    try:
        position = Position.parse(text)
    except MalformedPosition:
        return
    assert Position.parse(position.encode()).encode() == position.encode()


@pytest.mark.parametrize("text", ["", "a", "not base64!", "A" * 1025, "AQ\u00e9"])
def test_what_is_not_base64url_is_malformed(text: str) -> None:
    with pytest.raises(MalformedPosition):
        Position.parse(text)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x02" + bytes(6),
        b"\x01" + bytes(5),
        b"\x01" + bytes(6) + b"half",
        b"\x01" + bytes(6) + b"12345678",
        b"\x01" + bytes(6) + b"12345678\x00\x00\x00",
        b"\x01" + bytes(6) + b"12345678\x01\x00\x09" + bytes(9),
        b"\x01" + bytes(6) + b"12345678" + b"\xff" * 5 + b"\x00\x00",
        b"\x01" + bytes(6) + b"".join(b"%08d\x01\x00\x00" % n for n in range(17)),
    ],
)
def test_what_is_out_of_range_is_malformed(encoded: bytes) -> None:
    with pytest.raises(MalformedPosition):
        Position.parse(urlsafe_b64encode(encoded).rstrip(b"=").decode())


def test_the_stream_of_a_final_is_what_its_id_begins_with() -> None:
    one, two = (
        mark_of(utterance(utterance_id=f"stream-{n}", number=n, timestamp=BEGIN)) for n in (1, 2)
    )

    assert one.stream == two.stream
    assert (one.number, two.number) == (1, 2)
    assert one.spoken == BEGIN.timestamp() * 1000
