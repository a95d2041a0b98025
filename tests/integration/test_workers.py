from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import uvloop

from speech.engines.base import Policy, Recognition, RecognitionOptions, Result
from speech.engines.blocking import ModelSpec
from speech.engines.errors import EngineCrashed, EngineStalled, EngineUnavailable
from speech.engines.workers import WorkerEngine
from tests.support.blocking_models import counted

pytestmark = pytest.mark.integration

QUICK = Policy(first_delay=0.01)
NO_RETRY = Policy(attempts=1)
TENTH = 3_200


def counting(
    *, slots: int = 2, policy: Policy = QUICK, spare: int = 1, **settings: float
) -> WorkerEngine:
    model = ModelSpec("tests.support.blocking_models:track", {**settings})
    return WorkerEngine("counting", model, slots=slots, spare=spare, policy=policy)


def processes() -> list[psutil.Process]:
    """Return the fork server and the workers below this process."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE and "fork_server" in " ".join(process.cmdline())
    ]


async def gone(pids: list[int]) -> None:
    """Wait until none of the processes exists."""
    async with asyncio.timeout(5):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    assert processes() == []


def worker_of(result: Result) -> int:
    return int(result.words[0].word)


async def transcript(recognition: Recognition) -> list[Result]:
    async with asyncio.timeout(20):
        return [result async for result in recognition]


async def recognise(engine: WorkerEngine, seconds: int) -> list[Result]:
    async with engine.recognise(RecognitionOptions()) as recognition:
        pcm = counted(seconds)
        for at in range(0, len(pcm), TENTH):
            recognition.write(pcm[at : at + TENTH])
        recognition.end()
        return await transcript(recognition)


async def test_streams_run_side_by_side_each_in_a_fresh_process() -> None:
    async with counting(slots=3) as engine:
        side_by_side = await asyncio.gather(*[recognise(engine, 3) for _ in range(3)])
        later = await recognise(engine, 3)

    results = [*side_by_side, later]
    assert all([r.text for r in stream] == ["0", "1", "2"] for stream in results)
    assert len({worker_of(stream[0]) for stream in results}) == 4


async def test_audio_that_comes_in_odd_pieces_arrives_whole() -> None:
    async with (
        counting() as engine,
        engine.recognise(RecognitionOptions(language="en-GB")) as recognition,
    ):
        pcm = counted(5)
        at, size = 0, 2
        while at < len(pcm):
            recognition.write(pcm[at : at + size])
            at, size = at + size, size * 3
        recognition.write(b"")
        recognition.end()
        results = await transcript(recognition)

    assert [result.text for result in results] == ["0", "1", "2", "3", "4"]
    assert {result.language for result in results} == {"en-GB"}
    assert recognition.lag == 0


@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        ("tests.support.blocking_models:broken", "no model at the place"),
        ("tests.support.no_such_module:load", "no_such_module"),
        ("os:abort", "the process died"),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_reported_at_the_start(
    factory: str, cause: str
) -> None:
    with pytest.raises(EngineUnavailable, match=cause):
        async with WorkerEngine("broken", ModelSpec(factory, {}), slots=1):
            pass


async def test_a_model_that_loads_for_ever_is_given_up() -> None:
    model = ModelSpec("tests.support.blocking_models:endless", {})

    with pytest.raises(EngineUnavailable, match="not loaded within"):
        async with WorkerEngine("endless", model, slots=1, start_timeout=0.2):
            pass


async def test_a_model_that_uses_the_detector_before_the_fork_fails_its_streams_at_once() -> None:
    model = ModelSpec("tests.support.blocking_models:track_with_threads", {})

    async with WorkerEngine("threads", model, slots=1, policy=NO_RETRY) as engine:
        with pytest.raises(EngineCrashed, match="used before the fork"):
            await recognise(engine, 1)


async def test_a_worker_that_never_opens_is_given_up() -> None:
    model = ModelSpec("tests.support.blocking_models:stuck", {})
    policy = Policy(attempts=2, first_delay=0.0, stall_timeout=0.2)

    async with WorkerEngine("stuck", model, slots=1, policy=policy) as engine:
        with pytest.raises(EngineStalled):
            await recognise(engine, 1)


async def test_a_killed_worker_loses_no_final_and_doubles_none() -> None:
    async with (
        counting(cost=0.02) as engine,
        engine.recognise(RecognitionOptions()) as recognition,
    ):
        pcm = counted(12)
        for at in range(0, len(pcm), TENTH):
            recognition.write(pcm[at : at + TENTH])
        recognition.end()
        results: list[Result] = []
        async for result in recognition:
            results.append(result)
            if len(results) in {3, 7}:
                os.kill(worker_of(result), signal.SIGKILL)

    assert [result.text for result in results] == [str(n) for n in range(12)]
    assert [result.start for result in results] == list(range(12))
    assert len({worker_of(result) for result in results}) == 3


@pytest.mark.alone
async def test_a_dead_worker_is_noticed_at_once() -> None:
    async with (
        counting(policy=NO_RETRY) as engine,
        engine.recognise(RecognitionOptions()) as recognition,
    ):
        recognition.write(counted(1))
        results = aiter(recognition)
        worker = worker_of(await anext(results))
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)

        with pytest.raises(EngineCrashed):
            await anext(results)

        assert time.monotonic() - killed < 0.5


async def test_an_exception_of_the_recogniser_fails_its_stream_only() -> None:
    async with counting(policy=NO_RETRY, raise_after=2.5) as engine:
        with pytest.raises(EngineCrashed, match="set to fail"):
            await recognise(engine, 4)

        assert len(await recognise(engine, 2)) == 2


async def test_more_streams_than_slots_are_refused() -> None:
    async with counting(slots=1, policy=NO_RETRY) as engine:
        async with engine.recognise(RecognitionOptions()):
            with pytest.raises(EngineUnavailable, match="busy"):
                async with engine.recognise(RecognitionOptions()):
                    pass

        assert len(await recognise(engine, 1)) == 1


@pytest.mark.alone
async def test_leaving_in_mid_stream_kills_the_worker_in_its_work() -> None:
    async with counting(cost=60.0, spare=0) as engine:
        async with engine.recognise(RecognitionOptions()) as recognition:
            recognition.write(counted(1))
            await asyncio.sleep(0.1)
            server, worker = processes()
        left = time.monotonic()
        await gone([worker.pid])

        assert time.monotonic() - left < 1.0
        assert alive(server.pid)


@pytest.mark.alone
async def test_the_end_of_the_engine_is_the_end_of_every_process() -> None:
    engine = counting(slots=3, spare=2, cost=60.0)
    async with engine:
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(_hold(engine)) for _ in range(2)]
            await asyncio.sleep(0.2)
            pids = [process.pid for process in processes()]
            assert len(pids) >= 3
            for stream in streams:
                stream.cancel()
        left = time.monotonic()
    await gone(pids)

    assert time.monotonic() - left < 2.0


async def _hold(engine: WorkerEngine) -> None:
    async with engine.recognise(RecognitionOptions()) as recognition:
        recognition.write(counted(1))
        await asyncio.Event().wait()


async def test_when_the_fork_server_dies_streams_go_on_and_new_ones_come() -> None:
    async with counting(spare=0) as engine, engine.recognise(RecognitionOptions()) as recognition:
        server = min(processes(), key=lambda process: process.create_time())
        recognition.write(counted(1))
        results = aiter(recognition)
        first = await anext(results)

        server.kill()
        await gone([server.pid])
        newer = await recognise(engine, 2)
        recognition.write(counted(2))
        second = await anext(results)

    assert [result.text for result in newer] == ["0", "1"]
    assert worker_of(first) == worker_of(second)


@pytest.mark.alone
async def test_the_loop_stays_free_while_workers_block() -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    async with counting(cost=0.5) as engine:
        watcher = asyncio.create_task(watch())
        await asyncio.gather(recognise(engine, 2), recognise(engine, 2))
        watcher.cancel()

    assert longest < 0.25


def test_it_runs_on_the_loop_of_the_service() -> None:
    async def run() -> list[Result]:
        async with counting() as engine:
            return await recognise(engine, 3)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(run())

    assert [result.text for result in results] == ["0", "1", "2"]


PROGRAM = """
import asyncio, sys
from speech.engines.base import RecognitionOptions
from speech.engines.blocking import ModelSpec
from speech.engines.workers import WorkerEngine

async def main():
    model = ModelSpec("tests.support.blocking_models:track", {"cost": 60.0})
    async with WorkerEngine("counting", model, slots=2, spare=1) as engine:
        async with engine.recognise(RecognitionOptions()) as recognition:
            recognition.write(bytes(32_000))
            await asyncio.sleep(0.2)
            print("running", flush=True)
            await asyncio.sleep(60)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_however_the_parent_ends_nothing_is_left_and_nothing_is_printed(
    signum: signal.Signals, status: int
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    assert program.stdout is not None
    while program.stdout.readline() != "running\n":
        assert program.poll() is None
    below = [process.pid for process in psutil.Process(program.pid).children(recursive=True)]
    assert len(below) >= 3

    if signum == signal.SIGINT:
        for pid in below:  # as when Ctrl-C reaches everyone
            os.kill(pid, signum)
    os.killpg(program.pid, signum)
    _, errors = program.communicate(timeout=5)

    assert program.returncode == status
    assert errors == ""
    asyncio.run(gone(below))
