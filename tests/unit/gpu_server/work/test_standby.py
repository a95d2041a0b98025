"""A model that stands by: when it is loaded, and when it takes a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import TranscriberCrashed, TranscriberUnavailable
from speech.transcribers.messages import Loaded

pytestmark = pytest.mark.unit


class Process:
    """Loads when the test lets it, and dies over a file that is called `bad`."""

    may_load = asyncio.Event()
    loading = 0
    light = True
    unloadable = False

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def start(self) -> Loaded:
        Process.loading += 1
        await Process.may_load.wait()
        if Process.unloadable:
            raise TranscriberUnavailable("no memory")
        self.gone = asyncio.Event()
        return Loaded(engine="fake", model="fake", device="cpu", pid=1, light=Process.light)

    async def transcribe(self, path: Path, _options: TranscriptionOptions) -> Transcription:
        if path.name == "bad":
            self.gone.set()
            raise TranscriberCrashed("died")
        return Transcription(duration=1.0, language="en", engine="fake")

    async def stop(self) -> None:
        self.gone.set()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "may_load", asyncio.Event())
    monkeypatch.setattr(Process, "loading", 0)
    Process.may_load.set()


@asynccontextmanager
async def inference(make: Callable[[], Process] = Process) -> AsyncIterator[Inference]:
    async with Inference(make, slots=1, limit=8, metrics=Metrics()) as running:
        await running.wait_until_loaded()
        yield running


async def job(running: Inference, name: str) -> None:
    with running.take_place() as place:
        await place.transcribe(Path(name), TranscriptionOptions(), recording=name)


async def crash(running: Inference) -> None:
    with pytest.raises(TranscriberCrashed):
        await job(running, "bad")


async def started(times: int) -> None:
    async with asyncio.timeout(10):
        while Process.loading < times:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)


async def test_after_a_crash_another_one_is_ready_for_the_next() -> None:
    async with inference() as running:
        await job(running, "good")
        assert Process.loading == 1  # where nothing crashes nothing stands by
        await crash(running)
        await job(running, "good")
        await started(3)
        Process.may_load.clear()  # from now on nothing is loaded

        async with asyncio.timeout(10):
            await crash(running)
            await job(running, "good")


@pytest.mark.parametrize("loads", [True, False])
async def test_one_that_cannot_be_loaded_or_has_died_costs_no_more_than_none(
    monkeypatch: pytest.MonkeyPatch, *, loads: bool
) -> None:
    async with inference() as running, asyncio.timeout(10):
        await crash(running)
        await job(running, "good")
        monkeypatch.setattr(Process, "unloadable", not loads)
        await started(3)
        standby = running._standby._process
        assert standby is not None
        await standby.stop()  # as if the system had killed it
        monkeypatch.setattr(Process, "unloadable", False)
        await crash(running)
        await job(running, "good")


async def test_of_a_heavy_model_there_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "light", False)
    async with inference() as running:
        for _ in range(3):
            await crash(running)
            await job(running, "good")

    assert Process.loading == 4


async def test_at_the_end_it_ends_too() -> None:
    made: list[Process] = []

    def make() -> Process:
        made.append(Process())
        return made[-1]

    async with inference(make) as running:
        await crash(running)
        await job(running, "good")
        await started(3)

    assert len(made) == 2
    assert all(each.gone.is_set() for each in made)
