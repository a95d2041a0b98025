"""The queue in front of the transcribers: order, bounds, crashes, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gpu_server.problems import Busy, NotReady, Stopping
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import MAX_RELOADS, Inference, QueuePlace
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import Stopped, TranscriberCrashed, TranscriberUnavailable
from speech.transcribers.messages import Loaded

pytestmark = pytest.mark.unit

OPTIONS = TranscriptionOptions()


class Slot:
    """A transcriber whose jobs end when the test ends them."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.starts = 0
        self.unloadable = False
        self.defect: Exception | None = None
        self.jobs: list[str] = []
        self.began = asyncio.Event()
        self.end: asyncio.Future[Transcription] | None = None

    async def start(self) -> Loaded:
        self.starts += 1
        if self.unloadable:
            raise TranscriberUnavailable("no model")
        if self.defect is not None:
            raise self.defect
        self.gone = asyncio.Event()
        return Loaded(engine="fake", model="fake", device="cpu", pid=1)

    async def transcribe(self, path: Path, _options: TranscriptionOptions) -> Transcription:
        self.jobs.append(path.name)
        self.end = asyncio.get_running_loop().create_future()
        self.began.set()
        try:
            return await self.end
        except TranscriberCrashed:
            self.gone.set()
            raise

    async def stop(self) -> None:
        self.gone.set()
        self.finish(TranscriberCrashed("ended"))

    async def working(self) -> None:
        async with asyncio.timeout(10):
            await self.began.wait()
        self.began.clear()

    def finish(self, error: Exception | None = None) -> None:
        if self.end is None or self.end.done():
            return
        if error is not None:
            self.end.set_exception(error)
        else:
            self.end.set_result(Transcription(duration=1.0, language="en", engine="fake"))


@asynccontextmanager
async def inference(slot: Slot, *, limit: int = 8) -> AsyncIterator[Inference]:
    async with Inference(lambda: slot, slots=1, limit=limit, metrics=Metrics()) as running:
        await running.wait_until_loaded()
        yield running


async def job(running: Inference, name: str, *, background: bool = False) -> Transcription:
    with running.take_place(background=background) as place:
        return await place.transcribe(Path(name), OPTIONS, recording=name)


def begin(
    running: Inference, name: str, *, background: bool = False
) -> asyncio.Task[Transcription]:
    return asyncio.create_task(job(running, name, background=background))


async def test_jobs_are_done_in_order_and_requests_before_jobs_of_the_queue() -> None:
    slot = Slot()
    async with inference(slot) as running:
        tasks = [begin(running, "first")]
        await slot.working()
        tasks += [begin(running, "late", background=True), begin(running, "second")]
        tasks += [begin(running, "third")]
        for _ in range(3):
            slot.finish()
            await slot.working()
        slot.finish()
        await asyncio.gather(*tasks)

    assert slot.jobs == ["first", "second", "third", "late"]


async def test_a_job_of_the_queue_gives_way_from_when_it_could_begin_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpu_server.work.inference.BACKGROUND_PATIENCE", 0.05)
    slot = Slot()
    async with inference(slot) as running:
        tasks = [begin(running, "first", background=True)]
        await slot.working()
        tasks += [begin(running, "ready", background=True)]
        await asyncio.sleep(0.06)  # it could not have begun yet
        tasks += [begin(running, "request"), begin(running, "another")]
        await asyncio.sleep(0)
        slot.finish()
        await slot.working()
        await asyncio.sleep(0.06)
        for _ in range(2):
            slot.finish()
            await slot.working()
        slot.finish()
        await asyncio.gather(*tasks)

    assert slot.jobs == ["first", "request", "ready", "another"]


async def test_beyond_the_bound_nobody_gets_a_place_until_one_is_left() -> None:
    slot = Slot()
    async with inference(slot, limit=1) as running:
        with running.take_place(), running.take_place():
            with pytest.raises(Busy) as caught, running.take_place():
                pass
            with running.take_place(background=True):
                assert running.waiting == 2  # jobs of the queue are no requests
        with running.take_place():
            pass

    assert caught.value.retry_after


async def test_a_recording_on_its_way_takes_no_place_and_keeps_the_server_up() -> None:
    slot = Slot()
    async with inference(slot, limit=0) as running:
        with running.receive_recording(), running.receive_recording():
            assert running.waiting == 0
            assert running.idle_seconds == 0
            with running.take_place():
                pass
        assert running.idle_seconds > 0


async def test_a_recording_that_has_arrived_waits_in_line_and_is_served_before_newcomers() -> None:
    slot = Slot()

    async def arrive(name: str) -> Transcription:
        with running.receive_recording() as arrival:
            await arrived.wait()
            place = await arrival.take_place()
            return await place.transcribe(Path(name), OPTIONS)

    async with inference(slot, limit=0) as running:
        arrived = asyncio.Event()
        tasks = [asyncio.create_task(arrive(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0)
        arrived.set()
        await slot.working()
        assert running.waiting == 2
        with pytest.raises(Busy), running.take_place():
            pass
        with pytest.raises(Busy), running.receive_recording():
            pass
        tasks[1].cancel()
        slot.finish()
        await slot.working()
        slot.finish()
        await asyncio.gather(*tasks, return_exceptions=True)
        await running.wait_until_idle()
        with running.take_place():
            pass

    assert slot.jobs == ["first", "third"]


async def test_a_caller_that_leaves_when_its_slot_is_free_leaves_it_to_the_next() -> None:
    async with inference(Slot(), limit=0) as running:
        with running.receive_recording() as second:
            with running.receive_recording() as first:
                with running.take_place():
                    leaving = asyncio.create_task(first.take_place())
                    staying = asyncio.create_task(second.take_place())
                    await asyncio.sleep(0)
                # The place is the first's now, who does not know yet.
                leaving.cancel()
            await staying
            assert running.waiting == 1
        assert running.idle_seconds > 0


async def test_a_drain_awaits_uploads_and_admits_no_more() -> None:
    slot = Slot()
    async with inference(slot) as running:
        with running.receive_recording() as arrival:
            running.stop_admission()
            ended = asyncio.create_task(running.wait_until_idle())
            with pytest.raises(Stopping), running.receive_recording():
                pass
            place = await arrival.take_place()
            job = asyncio.create_task(place.transcribe(Path("late"), OPTIONS))
            await slot.working()
            assert not ended.done()
            slot.finish()
            await job
        await ended


async def test_a_caller_that_gives_up_delays_nobody() -> None:
    slot = Slot()
    async with inference(slot) as running:
        first = begin(running, "first")
        await slot.working()
        given_up, last = begin(running, "given up"), begin(running, "last")
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        slot.finish()
        await slot.working()
        slot.finish()
        await asyncio.gather(first, last)

    assert slot.jobs == ["first", "last"]


async def test_a_crash_is_the_error_of_its_job_and_the_next_has_a_new_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpu_server.work.inference.LONGEST_PAUSE", 0)
    slot = Slot()
    async with inference(slot) as running:
        crashing = begin(running, "crashes")
        await slot.working()
        after = begin(running, "after")
        slot.finish(TranscriberCrashed("died"))
        with pytest.raises(TranscriberCrashed):
            await crashing
        await slot.working()
        slot.finish()
        await after

    assert slot.starts == 2


async def test_a_process_that_dies_without_work_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpu_server.work.inference.LONGEST_PAUSE", 0)
    slot = Slot()
    async with inference(slot) as running:
        await asyncio.sleep(0)
        slot.gone.set()
        task = begin(running, "after")
        await slot.working()
        slot.finish()
        await task

    assert slot.starts == 2


async def test_a_model_that_cannot_be_loaded_is_reported_and_admits_no_job() -> None:
    slot = Slot()
    slot.unloadable = True
    async with Inference(lambda: slot, slots=1, limit=1, metrics=Metrics()) as running:
        with pytest.raises(TranscriberUnavailable):
            await running.wait_until_loaded()
        with pytest.raises(NotReady), running.take_place():
            pass


@pytest.mark.parametrize("defect", [None, RuntimeError("what nobody thought of")])
async def test_a_slot_that_is_given_up_is_reported_also_to_waiting_jobs(
    monkeypatch: pytest.MonkeyPatch, defect: Exception | None
) -> None:
    monkeypatch.setattr("gpu_server.work.inference.LONGEST_PAUSE", 0)
    slot = Slot()
    async with inference(slot) as running, asyncio.timeout(10):
        crashing = begin(running, "crashes")
        await slot.working()
        waiting = begin(running, "waits")
        slot.unloadable, slot.defect = defect is None, defect
        slot.finish(TranscriberCrashed("died"))

        assert await running.wait_until_broken() == ("defect" if defect else "model_not_loaded")
        with pytest.raises(TranscriberCrashed):
            await crashing
        with pytest.raises(Stopped):
            await waiting

    assert slot.starts == (2 if defect else 1 + MAX_RELOADS)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        # Capitals succeed. Different recordings that kill their process one after the other:
        ("abcde", [1, 2, 4]),
        ("aBc", []),
        # One that kills it time and again, alone and between others:
        ("aaaa", []),
        ("aBaBaCa", []),
    ],
)
async def test_only_where_different_recordings_kill_it_a_process_is_started_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch, attempts: str, expected: list[float]
) -> None:
    slot = Slot()
    async with inference(slot) as running, asyncio.timeout(10):
        pauses: list[float] = []
        paused = asyncio.sleep

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await paused(0)

        monkeypatch.setattr("gpu_server.work.inference.asyncio.sleep", sleep)
        for name in attempts + "Z":
            task = begin(running, name)
            await slot.working()
            slot.finish(TranscriberCrashed("died") if name.islower() else None)
            await asyncio.gather(task, return_exceptions=True)

    assert pauses == expected


async def test_a_job_for_which_somebody_asks_gives_way_no_longer() -> None:
    slot = Slot()
    async with inference(slot) as running:
        first = begin(running, "first")
        await slot.working()
        with running.take_place(background=True) as place:
            ready = asyncio.create_task(place.transcribe(Path("ready"), OPTIONS))
            request = begin(running, "request")
            await asyncio.sleep(0)
            place.prioritise()
            for _ in range(2):
                slot.finish()
                await slot.working()
            slot.finish()
            await asyncio.gather(first, ready, request)

    assert slot.jobs == ["first", "ready", "request"]


async def test_when_the_last_slot_dies_at_the_end_nobody_waits_for_it() -> None:
    slot = Slot()
    async with inference(slot) as running:
        in_work, waiting = begin(running, "in work"), begin(running, "waiting")
        await slot.working()
        late = QueuePlace(running, background=False)  # of who uploads yet
        running.stop_admission()
        slot.finish(TranscriberCrashed("died"))

        async with asyncio.timeout(10):
            for task in (in_work, waiting):
                with pytest.raises(Stopped):
                    await task
            await running.wait_until_idle()
            with pytest.raises(Stopped):
                await late.transcribe(Path("late"), OPTIONS)


async def test_a_drain_refuses_jobs_that_still_wait() -> None:
    slot = Slot()
    async with inference(slot) as running:
        in_work, waiting = begin(running, "in work"), begin(running, "waiting")
        await slot.working()
        running.stop_admission()
        with pytest.raises(Stopping), running.take_place():
            pass
        await running.close()

        for task in (in_work, waiting):
            with pytest.raises(Stopped):
                await task
        await running.wait_until_idle()
