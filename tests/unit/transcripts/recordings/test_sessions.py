from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transcripts import NOW, segment, transcript
from transcripts.documents import GapReason, SessionEnd, SessionMetadata
from transcripts.recordings.keys import Session
from transcripts.recordings.objects import ObjectVersion
from transcripts.recordings.sessions import (
    UNDETERMINED,
    Combine,
    Plan,
    Read,
    Wait,
    chunk_results,
    combine,
    decide,
    uploaded_chunks,
)

pytestmark = pytest.mark.unit

SESSION = Session(user_id="ann", session_id="monday")
ENDED = SessionEnd(ended_at=NOW)


def done(*names: str, etag: str = "e") -> list[ObjectVersion]:
    """Return results of chunks, as `7`, `007` or `7.failed`."""
    return [
        ObjectVersion(
            f"{SESSION.outcomes_prefix}{name if '.' in name else f'{name}.json'}", etag, 10
        )
        for name in names
    ]


def decided(
    *names: str,
    count: int | None = None,
    first: int | None = None,
    end: SessionEnd | None = None,
    audio: tuple[int, ...] = (),
) -> Plan:
    metadata = SessionMetadata(chunk_count=count, first_chunk=first) if count else None
    return decide(chunk_results(SESSION, done(*names)), metadata=metadata, end=end, audio=audio)


def numbers(decision: Plan) -> list[int]:
    assert isinstance(decision, Combine)
    return [number for number, _ in decision.transcripts]


def gaps(decision: Plan) -> dict[int, str]:
    assert isinstance(decision, Combine)
    return {number: reason.value for number, reason in decision.gaps}


# --- what the bucket holds ---------------------------------------------------------------------


def test_only_what_is_of_the_session_counts() -> None:
    others = [
        ObjectVersion("users/ann/transcripts/monday-chunk-talk-chunk-1.json", "e", 1),
        ObjectVersion("users/ann/transcripts/monday-chunk-talk.json", "e", 1),
        ObjectVersion("users/ann/transcripts/monday-chunk-1.txt", "e", 1),
    ]

    known = chunk_results(SESSION, [*done("1"), *others])

    assert list(known.transcripts) == [1]
    assert known.duplicates == ()


@given(st.permutations(["1", "001", "01", "2", "02.failed", "3.failed", "03.failed", "2.failed"]))
def test_of_two_keys_with_one_number_the_same_counts_whichever_came_first(order: list[str]) -> None:
    known = chunk_results(SESSION, done(*order))

    assert {n: each.key.rpartition("-")[2] for n, each in known.transcripts.items()} == {
        1: "001.json",
        2: "2.json",
    }
    assert {n: each.key.rpartition("-")[2] for n, each in known.failures.items()} == {
        3: "03.failed"
    }
    # The failure of the very chunk that was transcribed later is none.
    assert [key.rpartition("-")[2] for key in known.duplicates] == [
        "01.json",
        "02.failed",
        "1.json",
        "3.failed",
    ]


def test_audio_is_counted_by_its_number() -> None:
    keys = [
        f"{SESSION.chunks_prefix}001.webm",
        f"{SESSION.chunks_prefix}2.m4a",
        SESSION.metadata_key,
        "users/ann/audio/sessions/tuesday/chunk-3.webm",
    ]

    assert uploaded_chunks(SESSION, keys) == {1, 2}


# --- what is to be done ------------------------------------------------------------------------


def test_without_metadata_and_end_nobody_knows_how_many_chunks_there_will_be() -> None:
    assert decided("1", "2") == Wait(outstanding=None)


def test_a_session_waits_for_the_chunks_that_were_announced() -> None:
    assert decided("1", "3", count=4) == Wait(outstanding=2)
    assert decided(count=2) == Wait(outstanding=2)


def test_the_last_chunk_completes_a_session_in_whatever_order_they_come() -> None:
    assert numbers(decided("3", "10", *"12456789", count=10)) == list(range(1, 11))


@pytest.mark.parametrize(
    ("names", "first", "complete"),
    [("01", None, True), ("12", None, True), ("12", 0, False), ("01", 1, False), ("01", 0, True)],
)
def test_chunks_may_be_numbered_from_zero_or_one(
    names: str, first: int | None, *, complete: bool
) -> None:
    assert isinstance(decided(*names, count=2, first=first), Combine) is complete


def test_a_session_that_begins_with_chunk_zero_waits_for_it_although_nothing_announced_it() -> None:
    assert decided("1", "2", count=2, audio=(0, 1, 2)) == Wait(outstanding=1)


def test_a_chunk_that_failed_is_a_gap_and_not_waited_for() -> None:
    decision = decided("1", "2.failed", "3", count=3)

    assert numbers(decision) == [1, 3]
    assert gaps(decision) == {2: "failed"}


def test_chunks_beyond_those_announced_are_taken_in() -> None:
    assert numbers(decided("1", "2", "3", count=2)) == [1, 2, 3]


def test_after_the_end_what_was_uploaded_is_waited_for_and_what_was_not_is_missing() -> None:
    assert decided("1", count=3, end=ENDED, audio=(1, 2)) == Wait(outstanding=1)
    assert gaps(decided("1", "2", count=3, end=ENDED, audio=(1, 2))) == {3: "missing"}


def test_after_the_end_the_audio_decides_what_a_session_consists_of() -> None:
    assert decided("1", end=ENDED, audio=(1, 2, 4)) == Wait(outstanding=2)
    decision = decided("1", "2", "4", end=ENDED, audio=(1, 2, 4))

    assert numbers(decision) == [1, 2, 4]
    assert gaps(decision) == {3: "missing"}


def test_whoever_ends_a_session_may_count_its_chunks() -> None:
    end = SessionEnd(chunk_count=3, ended_at=NOW)

    assert gaps(decided("1", "2", end=end, audio=(1, 2))) == {3: "missing"}


def test_a_number_far_out_is_one_chunk_and_not_a_million_gaps() -> None:
    decision = decided("1", "999999999", end=ENDED, audio=(1, 999_999_999))

    assert numbers(decision) == [1, 999_999_999]
    assert len(gaps(decision)) < 200
    assert decided("1", end=ENDED, audio=(1, 999_999_999)) == Wait(outstanding=1)


def test_a_session_that_ended_before_it_began_is_none() -> None:
    assert decided(end=ENDED) == Wait(outstanding=0)


def test_a_session_of_failures_is_written_with_its_gaps() -> None:
    assert gaps(decided("1.failed", "2.failed", count=2)) == {1: "failed", 2: "failed"}


@given(
    transcribed=st.sets(st.integers(0, 12)),
    failed=st.sets(st.integers(0, 12)),
    count=st.none() | st.integers(1, 12),
    ended=st.booleans(),
    audio=st.sets(st.integers(0, 12)),
)
def test_no_chunk_is_lost_or_twice_and_gaps_are_exactly_the_others(
    *, transcribed: set[int], failed: set[int], count: int | None, ended: bool, audio: set[int]
) -> None:
    names = [*map(str, transcribed), *(f"{each}.failed" for each in failed)]

    decision = decided(*names, count=count, end=ENDED if ended else None, audio=tuple(audio))

    if isinstance(decision, Wait):
        assert decision.outstanding is None or decision.outstanding >= 0
        return
    assert numbers(decision) == sorted(transcribed)
    assert not set(gaps(decision)) & transcribed
    assert failed - transcribed <= set(gaps(decision))
    if ended:
        assert all(n not in audio for n, why in gaps(decision).items() if why == "missing")


def test_the_fingerprint_distinguishes_combinations() -> None:
    same = [decided("1", "2", count=2), decided("2", "1", count=2)]
    others = [
        decided("1", "2", "3", count=2),
        decided("1", "2.failed", count=2),
        decided("1", end=SessionEnd(chunk_count=2, ended_at=NOW)),
        decide(
            chunk_results(SESSION, done("1", "2", etag="other")),
            metadata=SessionMetadata(chunk_count=2),
            end=None,
        ),
    ]
    prints = [each.fingerprint for each in (*same, *others) if isinstance(each, Combine)]

    assert prints[0] == prints[1]
    assert len(set(prints)) == len(prints) - 1 == 5


# --- one transcript out of many ----------------------------------------------------------------


def plan(*transcribed: int, **absent: GapReason) -> Combine:
    missing = {int(name.removeprefix("chunk")): reason for name, reason in absent.items()}
    return Combine(
        transcripts=tuple(zip(transcribed, done(*map(str, transcribed)), strict=True)),
        gaps=tuple(sorted(missing.items())),
    )


def read(text: str, duration: float, **changes: object) -> Read:
    return Read(transcript(segment(text), duration=duration, **changes), f"etag of {text}")


def test_segments_and_words_are_moved_by_the_true_durations() -> None:
    combined = combine(
        SESSION,
        plan(1, 2, 3),
        [read("one", 4.96), read("two", 5.04), read("three", 0.5)],
        now=NOW,
    )

    assert [(each.text, each.chunk, each.start_time) for each in combined.segments] == [
        ("one", 1, 0),
        ("two", 2, 4.96),
        ("three", 3, 10.0),
    ]
    assert [each.words[0].start_time for each in combined.segments] == [0, 4.96, 10.0]
    assert [(each.start_time, each.duration, each.etag) for each in combined.chunks] == [
        (0, 4.96, "etag of one"),
        (4.96, 5.04, "etag of two"),
        (10.0, 0.5, "etag of three"),
    ]
    assert combined.duration == 10.5
    assert combined.complete


def test_gaps_are_named_at_their_places_and_take_no_room() -> None:
    combined = combine(
        SESSION,
        plan(2, 4, 5, chunk1=GapReason.MISSING, chunk3=GapReason.FAILED),
        [read("two", 5), None, read("five", 5)],
        now=NOW,
    )

    assert [(gap.chunk, gap.reason, gap.at) for gap in combined.gaps] == [
        (1, "missing", 0),
        (3, "failed", 5),
        (4, "unreadable", 5),
    ]
    assert [each.start_time for each in combined.segments] == [0, 5]
    assert not combined.complete


def test_words_after_the_end_of_a_chunk_do_not_reach_into_the_next_one() -> None:
    combined = combine(SESSION, plan(1, 2), [read("a b c d e f", 1.0), read("next", 1.0)], now=NOW)

    assert combined.segments[0].end_time == 1.0
    assert max(word.end_time for word in combined.segments[0].words) == 1.0


def test_the_language_is_the_one_with_most_words() -> None:
    parts = [read("hello", 5), read("guten Morgen zusammen", 5, language="de"), read("well", 5)]

    assert combine(SESSION, plan(1, 2, 3), parts, now=NOW).language == "de"
    assert combine(SESSION, plan(chunk1=GapReason.FAILED), [], now=NOW).language == UNDETERMINED


def test_words_can_be_left_out_and_the_transcript_records_it() -> None:
    combined = combine(SESSION, plan(1), [read("one two", 5)], now=NOW, with_words=False)

    assert (combined.without_words, combined.segments[0].words, combined.segments[0].text) == (
        True,
        (),
        "one two",
    )


@given(st.lists(st.floats(0, 1e4, allow_subnormal=False), min_size=1, max_size=30), st.randoms())
def test_the_timeline_is_linear_whatever_the_durations(
    durations: list[float], order: random.Random
) -> None:
    count = len(durations)
    names = [str(n) for n in range(1, count + 1)]
    order.shuffle(names)
    decision = decide(
        chunk_results(SESSION, done(*names)), metadata=SessionMetadata(chunk_count=count), end=None
    )
    assert isinstance(decision, Combine)

    combined = combine(
        SESSION, decision, [read(f"w{n}", each) for n, each in enumerate(durations)], now=NOW
    )

    assert [each.text for each in combined.segments] == [f"w{n}" for n in range(count)]
    for place, (chunk, spoken) in enumerate(zip(combined.chunks, combined.segments, strict=True)):
        assert chunk.start_time == pytest.approx(sum(durations[:place]), abs=0.001)
        assert chunk.start_time <= spoken.start_time <= spoken.end_time
        assert spoken.end_time <= chunk.start_time + chunk.duration + 0.001
