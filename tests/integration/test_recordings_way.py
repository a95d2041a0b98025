"""Recordings on their whole way while everything on it fails now and then.

`RECORDINGS_WAY_CHUNKS=1000` makes the long run of it: 80 seconds on two free cores. With `-s`
it counts how many calls went wrong.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

from tests.support.events import flat
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Fault
from tests.support.recordings_way import (
    MODULE,
    Talk,
    Way,
    kept_running,
    recordings_way,
    shuffled,
    words,
)
from tests.support.scripted_transcriber import MODULE as TRANSCRIBER
from transcripts.documents import Failure, FailureCode, GapReason, SessionTranscript
from transcripts.recordings.keys import CAPTIONS, FAILURE, Session, beside

pytestmark = pytest.mark.integration

CHUNKS = int(os.environ.get("RECORDINGS_WAY_CHUNKS", "100"))
#: Who is killed, in the middle of each part of the chunks: all of the server, or the process of its
#: transcriber alone.
VICTIMS = (MODULE, TRANSCRIBER, MODULE, MODULE, None)
PATIENCE = 60 + CHUNKS / 2


def talks(count: int, of: int) -> list[Talk]:
    return [
        Talk(Session(user_id=f"user {n % 3}", session_id=f"talk-{n}"), of) for n in range(count)
    ]


async def everything_is_done(way: Way) -> None:
    async def done() -> bool:
        return await asyncio.to_thread(way.events) == 0 and await asyncio.to_thread(way.jobs) == 0

    await eventually(done, "no event and no job is left", within=PATIENCE, every=0.5)


def combined(way: Way, talk: Talk) -> SessionTranscript:
    found = way.recordings.get(talk.session.transcript_key, SessionTranscript)
    assert found is not None, f"{talk.session.session_id} is not combined"
    return found.document


def assert_true(transcript: SessionTranscript, talk: Talk) -> None:
    """Check that a session has every word at its place."""
    texts = [words(talk.session, number) for number in talk.numbers]
    begins = list(accumulate((len(each) for each in texts), initial=0))
    assert transcript.complete
    assert transcript.gaps == ()
    assert [segment.text for segment in transcript.segments] == texts
    assert [segment.start_time for segment in transcript.segments] == begins[:-1]
    assert transcript.duration == begins[-1]


def assert_once(versions: Counter[str], talks: list[Talk]) -> None:
    """Check that every transcript was written, and once."""
    keys = [talk.transcript_key(number) for talk in talks for number in talk.numbers]
    keys += [talk.session.transcript_key for talk in talks]
    captions = {
        beside(talk.session.transcript_key, suffix) for talk in talks for suffix in CAPTIONS
    }
    assert captions <= set(versions)
    assert {versions[key] for key in keys} == {1}
    assert not [key for key in versions if key.endswith(".failed")]


async def under_fire(way: Way, chunks: list[tuple[Talk, int]], victim: str | None) -> None:
    """Upload chunks, a fifth of which are announced twice, and kill somebody in the middle."""
    chance = random.Random(len(chunks))  # noqa: S311 - no secret

    def upload() -> None:
        for begin in range(0, len(chunks), 10):
            way.upload(chunks[begin : begin + 10])
            for talk, number in chance.sample(chunks[: begin + 10], 2):
                way.repeat_chunk_event(talk, number)

    await eventually(way.ready, "the server is ready", within=60)
    half = way.proxy.calls.total() + len(chunks) // 2
    uploading = asyncio.create_task(asyncio.to_thread(upload))

    def in_the_middle() -> bool:
        # Where the server seems busy, more chunks are queued than it is called for.
        return way.proxy.calls.total() >= half or uploading.done()

    await eventually(in_the_middle, "calls are made", within=PATIENCE)
    assert victim is None or way.kill(victim)
    await uploading


async def test_under_fire_every_chunk_is_transcribed_once_and_every_session_combined(
    tmp_path: Path,
) -> None:
    all_talks = talks(max(3, CHUNKS // 40), CHUNKS // max(3, CHUNKS // 40))
    chunks = shuffled(all_talks)
    async with recordings_way(tmp_path) as way:
        # It is announced before the chunks, after them, or by an event.
        for talk in all_talks[::3]:
            way.describe(talk)
        async with kept_running(way.server):
            for number, victim in enumerate(VICTIMS):
                await under_fire(way, chunks[number :: len(VICTIMS)], victim)
            for talk in all_talks[1::3]:
                way.describe(talk)
            for talk in all_talks[2::3]:
                way.end(talk)
            await everything_is_done(way)
            for talk, number in chunks[::5]:
                way.repeat_transcript_event(talk, number)
            await everything_is_done(way)

        for talk in all_talks:
            assert_true(combined(way, talk), talk)
        assert_once(way.versions(), all_talks)
        assert way.lost() == (0, 0)
        wrong = way.proxy.calls.total() - way.proxy.calls[Fault.NONE]
        print(f"{len(chunks)} chunks, {way.proxy.calls.total()} calls, {wrong} went wrong")  # noqa: T201 - of the long run
        assert wrong > len(chunks) / 10


async def test_a_server_that_comes_and_goes_leaves_the_rest_to_the_queue(tmp_path: Path) -> None:
    [talk] = talks(1, 60)
    chunks = shuffled([talk])
    async with recordings_way(tmp_path) as way:
        way.describe(talk)
        way.upload(chunks[:20])
        await eventually(lambda: way.jobs() == 20, "without a server all are queued", within=60)

        await way.server.start()
        uploading = asyncio.create_task(asyncio.to_thread(way.upload, chunks[20:40]))
        await eventually(lambda: way.jobs() < 20, "the worker has begun", within=60)
        await way.server.stop()
        await uploading
        way.upload(chunks[40:])
        await eventually(lambda: way.events() == 0, "what could not be done waits", within=60)
        waiting = way.jobs()

        await way.server.start()
        await everything_is_done(way)
        await way.server.stop()

        assert waiting >= 20
        assert_true(combined(way, talk), talk)
        assert_once(way.versions(), [talk])
        assert way.lost() == (0, 0)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("die", "process died"),
        ("raise something", "raised ZeroDivisionError"),
        ("memory CUDA failed with error out of memory", "memory is not enough"),
    ],
)
async def test_a_recording_that_the_engine_cannot_stand_becomes_a_named_gap(
    tmp_path: Path, deed: str, words: str
) -> None:
    [talk] = talks(1, 4)
    async with recordings_way(tmp_path) as way, kept_running(way.server):
        await eventually(way.ready, "the server is ready", within=60)
        way.put(talk.key(2), deed)
        way.upload([(talk, number) for number in (1, 3, 4)])
        way.describe(talk)
        await everything_is_done(way)

        transcript = combined(way, talk)
        why = way.recordings.get(beside(talk.transcript_key(2), FAILURE), Failure)
        assert [(gap.chunk, gap.reason) for gap in transcript.gaps] == [(2, GapReason.FAILED)]
        assert [placed.chunk for placed in transcript.chunks] == [1, 3, 4]
        assert why is not None
        assert why.document.code is FailureCode.KEEPS_FAILING
        assert words in why.document.message
        assert way.lost() == (0, 0)


async def test_an_event_that_nobody_understands_is_kept_among_the_undelivered(
    tmp_path: Path,
) -> None:
    [talk] = talks(1, 2)
    async with recordings_way(tmp_path) as way:
        way.send_event("Audio Uploaded", flat("nowhere/at/all.wav", way.bucket)["detail"])
        way.upload(shuffled([talk]))

        await eventually(lambda: way.lost() == (0, 1), "the event is put aside", within=60)
        await eventually(lambda: way.jobs() == 2, "its neighbours are not", within=60)
