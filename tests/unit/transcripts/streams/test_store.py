"""The ledger in DynamoDB, and its stand-in in memory, which has to behave alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from ecs_service.sessions.ledger import StreamStore
from tests.support.ledger import MemoryLedger
from tests.support.tables import streams_table_definition
from tests.support.utterances import utterance, utterances
from transcripts.models import Utterance, Word
from transcripts.streams.entry import (
    FRAME_RATE,
    MOST_PAUSES,
    LedgerEntry,
    Pause,
    StreamProgress,
    StreamState,
    StreamTerms,
)
from transcripts.streams.items import (
    MOST_FINALS_BYTES,
    MOST_UTTERANCE_BYTES,
    SHARDS,
    TooManyFinals,
    UnreadableEntry,
    from_item,
    shard_of,
    to_item,
)
from transcripts.streams.store import StreamEnded, StreamTable, Superseded, UnknownStream

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.unit

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DUE = NOW + timedelta(seconds=90)
LATER = NOW + timedelta(seconds=100)
TERMS = StreamTerms(
    stream_id="s" * 26,
    conversation_id="talk",
    speaker="Ada",
    language="en-US",
    sample_rate=44_100,
    channels=2,
    separate=True,
    options={"vocabularyName": "names"},
    token_hash="0a" * 32,
    right='{"sub":"ada"}',
)
ENTRY = LedgerEntry(terms=TERMS, progress=StreamProgress(heard=(0, 0)))
SHARD = shard_of(TERMS.stream_id)
SAID = utterance()


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(**streams_table_definition("streams"))
        yield client


@pytest.fixture(params=["DynamoDB", "memory"])
def store(request: pytest.FixtureRequest) -> StreamStore:
    if request.param == "memory":
        return MemoryLedger()
    return StreamTable("streams", request.getfixturevalue("dynamodb"))


def with_final(entry: LedgerEntry, *finals: Utterance) -> LedgerEntry:
    return replace(entry, progress=replace(entry.progress, unsent=finals, settled=8_000))


whole_numbers = st.integers(0, 2**40)
progresses = st.builds(
    StreamProgress,
    attempt=whole_numbers,
    clock=st.none() | st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    pauses=st.lists(st.builds(Pause, whole_numbers, st.floats(0, 86_400)), max_size=3).map(tuple),
    settled=whole_numbers,
    heard=st.tuples(whole_numbers, whole_numbers),
    speakers=whole_numbers,
    count=whole_numbers,
    unsent=st.lists(utterances, max_size=2).map(tuple),
    tail=st.lists(utterances, max_size=1).map(tuple),
)


@given(progress=progresses, state=st.sampled_from(StreamState), epoch=whole_numbers)
def test_an_item_gives_back_exactly_the_entry_it_was_made_of(
    progress: StreamProgress, state: StreamState, epoch: int
) -> None:
    entry = LedgerEntry(terms=TERMS, progress=progress, state=state, epoch=epoch, version=7)

    assert from_item(to_item(entry, due_at=DUE, now=NOW)) == entry


def test_the_longest_finals_fit_into_an_item_without_their_words() -> None:
    word = Word(word="w" * 100, start_time=0.1, end_time=0.2, confidence=0.5)
    long = utterance(text="\N{GRINNING FACE}" * 20_000, words=(word,) * 1_500)
    entry = with_final(ENTRY, long, long, long)

    item = to_item(entry, due_at=DUE, now=NOW)

    assert len(item["unsent"]["S"].encode()) < MOST_FINALS_BYTES
    assert [one.text for one in from_item(item).progress.unsent] == [long.text] * 3
    with pytest.raises(TooManyFinals):
        to_item(with_final(ENTRY, *[long] * 5), due_at=DUE, now=NOW)


def test_words_of_any_script_are_left_out_beyond_the_bytes_of_a_final() -> None:
    word = Word(word="\N{THAI CHARACTER KO KAI}" * 30, start_time=0.1, end_time=0.2, confidence=0.5)
    long = utterance(text="\N{THAI CHARACTER KO KAI}" * 20_000, words=(word,) * 700)

    item = to_item(with_final(ENTRY, long), due_at=DUE, now=NOW)

    assert len(item["unsent"]["S"].encode()) <= MOST_UTTERANCE_BYTES
    assert from_item(item).progress.unsent[0].text == long.text


@pytest.mark.parametrize(
    "change",
    [
        {"terms": None},
        {"terms": {"S": "{}"}},
        {"progress": {"S": '{"count": -1}'}},
        {"state": {"S": "asleep"}},
        {"epoch": {"N": "x"}},
        {"unsent": {"S": '[{"text": "secret words"}]'}},
    ],
)
def test_what_is_no_entry_is_named_without_its_words(
    change: dict[str, dict[str, str] | None],
) -> None:
    item = {**to_item(ENTRY, due_at=DUE, now=NOW), **change}

    with pytest.raises(UnreadableEntry) as unreadable:
        from_item({name: value for name, value in item.items() if value is not None})

    assert "secret" not in str(unreadable.value)


def test_what_was_written_is_what_the_next_one_takes_over(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    written = store.write(with_final(ENTRY, SAID), due_at=DUE)

    taken = store.take_over(TERMS.stream_id, TERMS.token_hash, 1, due_at=LATER)

    assert written.version == 1
    assert (taken.epoch, taken.version, taken.progress.attempt) == (1, 2, 1)
    assert taken.progress.unsent == (SAID,)
    assert taken.terms == TERMS


def test_whoever_was_taken_over_writes_nothing_any_more(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    store.take_over(TERMS.stream_id, TERMS.token_hash, 1, due_at=DUE)

    with pytest.raises(Superseded):
        store.write(with_final(ENTRY, SAID), due_at=DUE)
    assert store.take_over(TERMS.stream_id, TERMS.token_hash, 2, due_at=DUE).progress.unsent == ()


def test_a_write_whose_answer_was_lost_is_repeated_without_harm(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    store.create(ENTRY, due_at=DUE)
    first = store.write(with_final(ENTRY, SAID), due_at=DUE)

    assert store.write(with_final(ENTRY, SAID), due_at=LATER) == first
    with pytest.raises(Superseded):
        store.write(ENTRY, due_at=DUE)


def test_a_beginning_that_arrives_late_undoes_nothing(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    store.write(with_final(ENTRY, SAID), due_at=DUE)
    store.take_over(TERMS.stream_id, TERMS.token_hash, 1, due_at=DUE)

    store.create(ENTRY, due_at=DUE)

    with pytest.raises(Superseded):
        store.write(ENTRY, due_at=DUE)
    taken = store.take_over(TERMS.stream_id, TERMS.token_hash, 2, due_at=DUE)
    assert (taken.epoch, taken.progress.unsent) == (2, (SAID,))


def test_a_token_opens_its_stream_alone_and_in_the_order_of_attempts(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)

    with pytest.raises(UnknownStream):
        store.take_over(TERMS.stream_id, "0b" * 32, 1, due_at=DUE)
    with pytest.raises(UnknownStream):
        store.take_over("t" * 26, TERMS.token_hash, 1, due_at=DUE)
    store.take_over(TERMS.stream_id, TERMS.token_hash, 5, due_at=DUE)
    for attempt in (5, 4):
        with pytest.raises(Superseded):
            store.take_over(TERMS.stream_id, TERMS.token_hash, attempt, due_at=DUE)


def test_a_stream_that_ended_is_not_taken_over_and_says_what_it_came_to(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    progress = replace(ENTRY.progress, settled=32_000, count=3)
    store.write(replace(ENTRY, state=StreamState.ENDED, progress=progress), due_at=None)

    with pytest.raises(StreamEnded) as ended:
        store.take_over(TERMS.stream_id, TERMS.token_hash, 1, due_at=DUE)

    assert (ended.value.entry.progress.settled, ended.value.entry.progress.count) == (32_000, 3)


def test_the_sweep_finds_who_is_due_and_only_one_of_two_gets_it(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)

    assert store.due(SHARD, NOW, 10) == []
    assert store.due(SHARD, LATER, 10) == [TERMS.stream_id]
    taken = store.take_due(TERMS.stream_id, LATER, due_at=LATER + timedelta(seconds=90))
    assert taken is not None
    assert (taken.epoch, taken.state) == (1, StreamState.OPEN)
    assert store.take_due(TERMS.stream_id, LATER, due_at=LATER) is None
    with pytest.raises(Superseded):
        store.write(ENTRY, due_at=DUE)


def test_what_has_nothing_to_do_is_never_due(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    store.write(replace(ENTRY, state=StreamState.ENDED), due_at=None)

    assert store.due(SHARD, LATER, 10) == []
    assert store.take_due(TERMS.stream_id, LATER, due_at=LATER) is None


def test_another_stream_of_the_same_id_does_not_begin(store: StreamStore) -> None:
    store.create(ENTRY, due_at=DUE)
    other = replace(ENTRY, terms=replace(TERMS, token_hash="0b" * 32))

    with pytest.raises(Superseded):
        store.create(other, due_at=DUE)


def test_streams_are_spread_over_the_shards() -> None:
    assert {shard_of(str(number)) for number in range(200)} == set(range(SHARDS))


@given(st.lists(st.tuples(st.integers(0, 2_000), st.floats(0.3, 5)), max_size=30))
def test_time_goes_on_over_pauses_however_often_they_are_said(
    said: list[tuple[int, float]],
) -> None:
    progress = StreamProgress(clock=NOW)
    for frame, seconds in said:
        progress = progress.with_pause(Pause(frame, seconds))

    kept = dict(said)
    for frame in (0, 1_000, 2_000):
        paused = sum(seconds for at, seconds in kept.items() if at <= frame)
        after = (progress.moment_of(frame) - NOW).total_seconds()
        assert after == pytest.approx(frame / FRAME_RATE + paused, abs=1e-5)


def test_old_pauses_become_one_and_time_stays() -> None:
    progress = StreamProgress(clock=NOW)
    for number in range(MOST_PAUSES + 100):
        progress = progress.with_pause(Pause(number * 10, 1.0))

    assert len(progress.pauses) == MOST_PAUSES
    last = progress.moment_of(10 * (MOST_PAUSES + 100)) - NOW
    assert last.total_seconds() == pytest.approx(MOST_PAUSES + 100 + 0.375)
