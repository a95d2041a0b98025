"""Generates a load of speakers and viewers, and measures what one viewer of each receives.

    python -m benchmarks.load URL --streams 50 --seconds 10

Each stream is 16 kHz mono in frames of 100 ms, and has a conversation of its own with two
viewers. The latency of a word is the time from the moment at which the frame that completes it
was sent to the arrival of the first message that contains it at the second viewer, the last to
be written to. It needs an engine that emits words as the audio passes (the scripted one).

It prints a line when the measured window begins and one when it ends, so that the caller can read
the server's CPU time, and then the result; each is a JSON object with an `event`. The generator's
own CPU time, lateness and event loop lag are part of the result: when they are large, the load
generator was the limit, and the latencies are upper bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import time
from array import array
from dataclasses import dataclass, field

import aiohttp
import uvloop

from benchmarks.figures import WordArrivals, frame_of, milliseconds

FRAME_SECONDS = 0.1
SAMPLE_RATE = 16_000
#: The scripted engine counts samples and does not listen to them.
FRAME = bytes(round(SAMPLE_RATE * FRAME_SECONDS) * 2)
HEALTH_PER_SECOND = 20
LAG_PROBE_SECONDS = 0.01
#: Time for the last messages to come after the last frame, seconds.
TAIL_SECONDS = 2.0

#: The clock of everything here, seconds.
clock = time.perf_counter


@dataclass(slots=True)
class Talk:
    """One conversation under load: a speaker, two viewers, and what was seen."""

    name: str
    #: When each frame was sent, and how much later than due, seconds.
    sent: array[float] = field(default_factory=lambda: array("d"))
    late: array[float] = field(default_factory=lambda: array("d"))
    arrivals: WordArrivals = field(default_factory=WordArrivals)
    other_messages: int = 0


async def load(url: str, *, streams: int, seconds: float, warm_up: float) -> dict[str, object]:
    """Put the load on a server for `warm_up` and then `seconds`; return what was measured.

    Raises:
        ExceptionGroup: a connection failed, so that there are no figures.
    """
    talks = [Talk(f"load-{number}") for number in range(streams)]
    frames = round((warm_up + seconds) / FRAME_SECONDS)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        listening: list[asyncio.Task[None]] = []
        speakers = [await _join(session, url, talk, tasks, listening) for talk in talks]
        gc.collect()
        gc.freeze()  # what exists now stays; the collector need not look at it again
        start = clock() + 0.2
        sending = [
            tasks.create_task(_speak(socket, talk, start + FRAME_SECONDS * n / streams, frames))
            for n, (socket, talk) in enumerate(zip(speakers, talks, strict=True))
        ]
        await asyncio.sleep(start + warm_up - clock())
        _report(event="begin")
        cpu, began = time.process_time(), clock()
        health: list[float] = []
        lags: list[float] = []
        probing = [
            tasks.create_task(_ask_for_health(session, url, health)),
            tasks.create_task(_watch_the_loop(lags)),
        ]
        await asyncio.wait(sending)
        cpu, elapsed = time.process_time() - cpu, clock() - began
        _report(event="end")
        await _await_the_rest(talks)
        for task in (*probing, *listening):
            task.cancel()
    first = math.ceil(warm_up / FRAME_SECONDS)
    return {
        "streams": streams,
        "seconds": round(elapsed, 3),
        "frames": sum(len(talk.sent) - first for talk in talks),
        **_summarise(talks, first),
        "health_ms": milliseconds(health),
        "generator": {
            "cpu_share": round(cpu / elapsed, 3),
            "loop_lag_ms": milliseconds(lags),
            "late_ms": milliseconds([late for talk in talks for late in talk.late[first:]]),
        },
    }


def _summarise(talks: list[Talk], first: int) -> dict[str, object]:
    """Sum up what the second viewers received of the frames from number `first` on."""
    from_sent: list[float] = []
    from_due: list[float] = []
    spoken = received = 0
    for talk in talks:
        spoken += words_in(len(talk.sent))
        received += len(talk.arrivals.words)
        for end, arrival in talk.arrivals.words:
            frame = frame_of(end, FRAME_SECONDS)
            if first <= frame < len(talk.sent):
                from_sent.append(arrival - talk.sent[frame])
                from_due.append(arrival - talk.sent[frame] + talk.late[frame])
    return {
        "words": len(from_sent),
        "latency_ms": milliseconds(from_sent),
        "latency_from_due_ms": milliseconds(from_due),
        "lost_words": spoken - received,
        "missing_messages": sum(talk.arrivals.missing for talk in talks),
        "repeated_messages": sum(talk.arrivals.repeated for talk in talks),
    }


def words_in(frames: int) -> int:
    """Return how many words the scripted engine recognises in so many frames: one each 0.4 s."""
    return frames * round(FRAME_SECONDS * 1000) // 400


# --- the connections --------------------------------------------------------------------------


async def _join(
    session: aiohttp.ClientSession,
    url: str,
    talk: Talk,
    tasks: asyncio.TaskGroup,
    listening: list[asyncio.Task[None]],
) -> aiohttp.ClientWebSocketResponse:
    """Connect two viewers and then a speaker; return the speaker's socket."""
    connect = f"{url}/api/stt/connect?conversationId={talk.name}"
    transcribe = f"{url}/api/stt/transcribe?sampleRate={SAMPLE_RATE}&conversationId={talk.name}"
    first = await session.ws_connect(connect)
    second = await session.ws_connect(connect)
    listening.append(tasks.create_task(_count(first, talk)))
    listening.append(tasks.create_task(_listen(second, talk.arrivals)))
    speaker = await session.ws_connect(transcribe)
    ready = await speaker.receive_json(timeout=10)
    if ready["type"] != "ready":
        raise RuntimeError(f"the server refused a stream: {ready}")
    listening.append(tasks.create_task(_count(speaker, talk)))
    return speaker


async def _speak(
    socket: aiohttp.ClientWebSocketResponse, talk: Talk, start: float, frames: int
) -> None:
    for number in range(frames):
        due = start + number * FRAME_SECONDS
        if (delay := due - clock()) > 0:
            await asyncio.sleep(delay)
        now = clock()
        talk.sent.append(now)
        talk.late.append(now - due)
        await socket.send_bytes(FRAME)


async def _listen(socket: aiohttp.ClientWebSocketResponse, arrivals: WordArrivals) -> None:
    async for frame in socket:
        arrivals.add(frame.data, clock())
    raise ConnectionError(f"a viewer's connection ended with {socket.close_code}")


async def _count(socket: aiohttp.ClientWebSocketResponse, talk: Talk) -> None:
    async for _ in socket:
        talk.other_messages += 1
    raise ConnectionError(f"a connection ended with {socket.close_code}")


async def _ask_for_health(session: aiohttp.ClientSession, url: str, times: list[float]) -> None:
    due = clock()
    while True:
        began = clock()
        async with session.get(f"{url}/api/stt/healthcheck", raise_for_status=True) as answer:
            await answer.read()
        times.append(clock() - began)
        due += 1 / HEALTH_PER_SECOND
        await asyncio.sleep(max(0.0, due - clock()))


async def _watch_the_loop(lags: list[float]) -> None:
    while True:
        due = clock() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        lags.append(max(0.0, clock() - due))


async def _await_the_rest(talks: list[Talk]) -> None:
    """Wait until every word has arrived, or for `TAIL_SECONDS`."""
    deadline = clock() + TAIL_SECONDS
    while clock() < deadline:
        if all(len(talk.arrivals.words) >= words_in(len(talk.sent)) for talk in talks):
            return
        await asyncio.sleep(0.05)


def _report(**result: object) -> None:
    print(json.dumps(result), flush=True)


def main() -> None:
    """Run the load that the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=3.0)
    given = parser.parse_args()
    result = uvloop.run(
        load(given.url, streams=given.streams, seconds=given.seconds, warm_up=given.warm_up)
    )
    _report(event="result", **result)


if __name__ == "__main__":
    main()
