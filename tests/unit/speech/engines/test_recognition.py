from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.engines.base import (
    Capabilities,
    Engine,
    Policy,
    Recognition,
    RecognitionOptions,
    Result,
    Session,
    SessionEvents,
)
from speech.engines.errors import (
    EngineCrashed,
    EngineError,
    EngineStalled,
    EngineUnavailable,
    SessionEnded,
    UnsupportedChannels,
    UnsupportedLanguage,
)
from speech.engines.pocketsphinx import PocketsphinxEngine
from speech.engines.transcribe import TranscribeEngine
from speech.engines.transcribe.pace import Starts
from tests.support.virtual_time import run_in_virtual_time
from transcripts.models import Word

pytestmark = pytest.mark.unit

QUICK = Policy(
    max_backlog=1.0,
    max_results=4,
    stall_timeout=0.05,
    connect_timeout=0.05,
    attempts=3,
    first_delay=0.001,
)
SECOND = bytes(32_000)


class FakeSession(Session):
    """Records its calls; the test reports results through `events`."""

    def __init__(self, events: SessionEvents) -> None:
        self.events = events
        self.written = b""
        self.ended = False
        self.closed = False

    def write(self, pcm: bytes) -> None:
        self.written += pcm

    def end(self) -> None:
        self.ended = True

    async def close(self) -> None:
        self.closed = True

    def report(self, text: str, start: float, end: float, *, segment: int = 0) -> None:
        """Report a final and settle its audio."""
        word = Word(word=text, start_time=start, end_time=end, confidence=1.0)
        final = Result(
            segment=segment, is_final=True, text=text, start=start, end=end, words=(word,)
        )
        self.events.recognised(final)
        self.events.progressed(end, end)


class FakeEngine(Engine):
    """Opens `FakeSession`s; what `refusals` holds is raised or awaited first."""

    name = "fake"
    capabilities = Capabilities(languages=frozenset({"en-US"}))

    def __init__(self, policy: Policy = QUICK) -> None:
        self.policy = policy
        self.refusals: list[EngineError | None] = []
        self._sessions: asyncio.Queue[FakeSession] = asyncio.Queue()
        self.opened = 0

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        del options
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.opened += 1
        session = FakeSession(events)
        self._sessions.put_nowait(session)
        return session

    async def session(self) -> FakeSession:
        """Return the next session that was opened."""
        return await asyncio.wait_for(self._sessions.get(), 2)


@asynccontextmanager
async def recognition_of(engine: Engine) -> AsyncIterator[Recognition]:
    async with engine.recognise(RecognitionOptions()) as recognition:
        yield recognition


async def rest_of(recognition: Recognition) -> list[Result]:
    async with asyncio.timeout(2):
        return [result async for result in recognition]


async def test_audio_goes_in_and_results_come_out_until_the_session_finishes() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        recognition.end()
        session.report("hello", 0.0, 1.0)
        session.events.finished()

        assert [result.text for result in await rest_of(recognition)] == ["hello"]

    assert session.written == SECOND
    assert session.ended
    assert session.closed


async def test_after_a_crash_exactly_what_is_not_settled_is_written_again() -> None:
    engine = FakeEngine()
    pcm = bytes(range(256)) * 250  # 2 seconds
    async with recognition_of(engine) as recognition:
        first = await engine.session()
        for at in range(0, len(pcm), 3_000):
            recognition.write(pcm[at : at + 3_000])
        first.report("hello", 0.1, 0.70005)
        first.events.failed(EngineCrashed("cut"))

        second = await engine.session()

        assert second.written == pcm[round(0.70005 * 16_000) * 2 :]
        assert first.closed


async def test_after_a_crash_times_and_segments_go_on_where_they_were() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        first = await engine.session()
        recognition.write(SECOND * 3)
        recognition.end()
        first.report("one", 0.0, 0.5)
        first.report("two", 0.5, 1.25, segment=1)
        first.events.failed(EngineCrashed("cut"))
        second = await engine.session()
        second.report("three", 0.25, 0.75)
        second.events.finished()

        results = await rest_of(recognition)

    assert [(r.segment, r.text, r.start, r.end) for r in results] == [
        (0, "one", 0.0, 0.5),
        (1, "two", 0.5, 1.25),
        (2, "three", 1.5, 2.0),
    ]
    assert (results[2].words[0].start_time, results[2].words[0].end_time) == (1.5, 2.0)


async def test_an_error_at_the_withdrawal_of_a_partial_ends_the_recognition() -> None:
    def publish(result: Result) -> None:
        if result.is_final:
            raise RuntimeError("the disk is full")

    engine = FakeEngine()
    async with engine.recognise(RecognitionOptions(), publish) as recognition, asyncio.timeout(2):
        recognition.write(SECOND * 2)
        first = await engine.session()
        first.events.recognised(Result(0, is_final=False, text="You", start=0.3, end=1.0))
        first.events.failed(EngineCrashed("cut"))
        second = await engine.session()
        second.events.progressed(2.0, 1.5)

        with pytest.raises(RuntimeError, match="the disk is full"):
            await recognition.finished()


async def test_results_of_a_replaced_session_are_ignored() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        first = await engine.session()
        recognition.write(SECOND)
        first.events.failed(EngineCrashed("cut"))
        second = await engine.session()
        first.report("ghost", 0.0, 1.0)
        first.events.finished()
        second.report("hello", 0.0, 1.0)
        second.events.finished()

        assert [result.text for result in await rest_of(recognition)] == ["hello"]


async def test_what_is_written_while_no_session_is_open_is_not_lost() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        first = await engine.session()
        engine.refusals = [EngineUnavailable("busy")]
        first.events.failed(EngineCrashed("cut"))
        recognition.write(SECOND)
        recognition.end()

        second = await engine.session()

        assert second.written == SECOND
        assert second.ended


async def test_the_patience_ends_after_so_many_failures_in_a_row() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        for _ in range(QUICK.attempts):
            (await engine.session()).events.failed(EngineCrashed("cut"))

        with pytest.raises(EngineCrashed):
            await rest_of(recognition)

    assert engine.opened == QUICK.attempts


async def test_a_session_whose_time_is_up_is_replaced_without_being_a_failure() -> None:
    engine = FakeEngine(Policy(attempts=1, first_delay=100.0))
    async with recognition_of(engine) as recognition:
        recognition.write(SECOND * 2)
        for _ in range(3):
            session = await engine.session()
            session.report("one", 0.0, 0.5)
            session.events.failed(SessionEnded("four hours"))
        last = await engine.session()
        last.events.finished()

        assert [result.start for result in await rest_of(recognition)] == [0.0, 0.5, 1.0]
    assert last.written == SECOND[:16_000]


async def test_audio_that_was_settled_renews_the_patience() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        recognition.write(SECOND * 10)
        for _ in range(3 * QUICK.attempts):
            session = await engine.session()
            session.events.progressed(0.5, 0.5)
            session.events.failed(EngineCrashed("cut"))
        (await engine.session()).events.finished()

        assert await rest_of(recognition) == []


async def test_a_permanent_error_is_raised_at_once_after_earlier_results() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        session.report("hello", 0.0, 1.0)
        session.events.failed(UnsupportedLanguage("no"))

        results = aiter(recognition)
        assert (await anext(results)).text == "hello"
        with pytest.raises(UnsupportedLanguage):
            await anext(results)

    assert engine.opened == 1


async def test_a_stream_that_cannot_be_opened_is_refused_when_entered() -> None:
    engine = FakeEngine()
    engine.refusals = [EngineUnavailable("busy")] * QUICK.attempts

    with pytest.raises(EngineUnavailable):
        async with recognition_of(engine):
            pass


class PacedEngine(FakeEngine):
    """Opens sessions when the test lets it."""

    def __init__(self, policy: Policy = QUICK) -> None:
        super().__init__(policy)
        self.open = asyncio.Event()
        self.open.set()
        self.admissions: list[bool] = []
        self.waiting = asyncio.Event()

    async def admit(self, *, first: bool) -> None:
        self.admissions.append(first)
        if not self.open.is_set():
            self.waiting.set()
            await self.open.wait()


async def test_waiting_for_admission_is_no_failure_and_takes_no_time_from_the_connection() -> None:
    engine = PacedEngine(Policy(attempts=2, first_delay=0.0, connect_timeout=0.01))
    async with recognition_of(engine) as recognition:
        first = await engine.session()
        engine.open.clear()
        recognition.write(SECOND)
        first.events.failed(EngineCrashed("cut"))
        await asyncio.sleep(0.05)
        recognition.end()
        engine.open.set()
        second = await engine.session()
        second.events.finished()

        assert await rest_of(recognition) == []
    assert second.written == SECOND
    assert engine.admissions == [True, False]


async def test_a_caller_that_leaves_before_admission_opens_no_session() -> None:
    engine = PacedEngine()
    engine.open.clear()
    entering = asyncio.create_task(engine.recognise(RecognitionOptions()).__aenter__())
    await engine.waiting.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering

    engine.open.set()
    async with recognition_of(engine):
        engine.open.clear()
        engine.waiting.clear()
        (await engine.session()).events.failed(EngineCrashed("cut"))
        await asyncio.wait_for(engine.waiting.wait(), 2)

    assert engine.opened == 1


async def test_a_speaker_whom_the_engine_does_not_want_to_wait_is_refused_at_once() -> None:
    class Full(FakeEngine):
        async def admit(self, *, first: bool) -> None:
            assert first
            raise EngineUnavailable("full")

    engine = Full(Policy(attempts=10, first_delay=100.0))
    with pytest.raises(EngineUnavailable, match="full"):
        async with recognition_of(engine):
            pass
    assert engine.opened == 0


def test_an_outage_of_all_streams_together_costs_none_of_them() -> None:
    class Paced(CountingEngine):
        """Each stream's first session dies; the next ones begin one after another."""

        starts = Starts(20.0)

        async def admit(self, *, first: bool) -> None:
            if not first:
                await self.starts.admit()

    async def stream() -> list[str]:
        async with recognition_of(Paced([0])) as recognition:
            recognition.write(bytes(3_200) + b"\1\0" * 1_600)
            await asyncio.sleep(1.0)
            recognition.end()
            return [result.text async for result in recognition]

    async def streams() -> tuple[list[list[str]], float]:
        texts = await asyncio.gather(*(stream() for _ in range(500)))
        return texts, asyncio.get_running_loop().time()

    texts, took = run_in_virtual_time(streams())

    assert texts == [["0", "1"]] * 500
    assert took == pytest.approx(499 / 20, abs=1.0)


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        # It takes the same audio for noise, and the words come later.
        (0.6, [(0, False, "You"), (0, True, ""), (1, True, "Hello")]),
        # It recognises the same utterance again, which keeps its number.
        (0.4, [(0, False, "You"), (0, True, "Hello")]),
    ],
)
async def test_a_partial_of_a_session_that_died_is_withdrawn_if_the_next_passes_it(
    settled: float, expected: list[tuple[int, bool, str]]
) -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        recognition.write(SECOND)
        first = await engine.session()
        first.events.recognised(Result(0, is_final=False, text="You", start=0.0, end=0.5))
        first.events.failed(EngineCrashed("cut"))
        second = await engine.session()
        second.events.progressed(settled, settled)
        second.events.recognised(Result(0, is_final=True, text="Hello", start=0.6, end=0.9))
        second.events.finished()

        results = [(one.segment, one.is_final, one.text) for one in await rest_of(recognition)]

    assert results == expected


async def test_a_partial_of_a_session_that_died_is_withdrawn_at_the_end() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        recognition.write(SECOND)
        first = await engine.session()
        first.events.recognised(Result(0, is_final=False, text="You", start=0.0, end=0.5))
        first.events.failed(EngineCrashed("cut"))
        (await engine.session()).events.finished()

        results = [(one.segment, one.is_final, one.text) for one in await rest_of(recognition)]

    assert results == [(0, False, "You"), (0, True, "")]


async def test_people_of_different_sessions_never_share_a_label() -> None:
    def result_of(number: int | None, segment: int, *, is_final: bool = True) -> Result:
        return Result(
            segment, is_final=is_final, text="x", start=0.0, end=0.5, speaker_number=number
        )

    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        recognition.write(SECOND)
        first = await engine.session()
        first.events.recognised(result_of(0, 0))
        first.events.recognised(result_of(2, 1, is_final=False))
        first.events.failed(EngineCrashed("cut"))
        second = await engine.session()  # from the start again, and yet another one
        second.events.recognised(result_of(None, 0))
        second.events.recognised(result_of(1, 1))
        second.events.failed(SessionEnded("four hours"))
        third = await engine.session()
        third.events.recognised(result_of(0, 0))
        third.events.finished()

        labels = [result.speaker_label for result in await rest_of(recognition) if result.text]

    assert labels == ["spk_0", "spk_2", None, "spk_4", "spk_5"]


async def test_a_session_that_consumes_nothing_is_replaced() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        stuck = await engine.session()
        recognition.write(SECOND)

        second = await engine.session()
        second.events.progressed(1.0, 1.0)
        recognition.end()
        second.events.finished()

        assert await rest_of(recognition) == []
    assert stuck.closed


async def test_an_engine_that_never_consumes_anything_has_stalled() -> None:
    async with recognition_of(FakeEngine()) as recognition:
        recognition.write(SECOND)

        with pytest.raises(EngineStalled):
            await rest_of(recognition)


async def test_an_engine_that_reports_results_has_not_stalled() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        recognition.end()
        for _ in range(10):
            session.events.recognised(
                Result(segment=0, is_final=False, text="still at it", start=0.0, end=1.0)
            )
            await asyncio.sleep(QUICK.stall_timeout / 4)
        session.events.finished()

        assert len(await rest_of(recognition)) == 10
    assert engine.opened == 1


async def test_a_session_that_watches_itself_is_not_looked_after() -> None:
    class Watching(FakeSession):
        detects_stalls = True

    class WatchingEngine(FakeEngine):
        async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
            del options
            self.opened += 1
            session = Watching(events)
            self._sessions.put_nowait(session)
            return session

    engine = WatchingEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        recognition.end()
        await asyncio.sleep(3 * QUICK.stall_timeout)
        session.events.finished()

        assert await rest_of(recognition) == []
    assert engine.opened == 1


async def test_silence_of_the_writer_is_no_stall() -> None:
    engine = FakeEngine()
    async with recognition_of(engine):
        await engine.session()

        await asyncio.sleep(3 * QUICK.stall_timeout)

        assert engine.opened == 1


async def test_audio_that_comes_after_a_pause_has_the_whole_timeout() -> None:
    engine = FakeEngine(Policy(stall_timeout=0.2, attempts=3, first_delay=0.001))
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        await asyncio.sleep(0.15)
        recognition.write(SECOND)
        await asyncio.sleep(0.1)  # 0.25 since the start, 0.1 since the audio

        assert not session.closed


async def test_writers_wait_while_too_much_audio_does() -> None:
    engine = FakeEngine(Policy(max_backlog=1.0))
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        assert not recognition.backlogged
        recognition.write(SECOND)
        assert recognition.backlogged
        assert recognition.lag == 2.0

        draining = asyncio.create_task(recognition.drain())
        session.events.progressed(0.5, 0.0)
        await asyncio.sleep(0)
        assert not draining.done()
        session.events.progressed(1.0, 0.0)
        await asyncio.wait_for(draining, 2)

        assert not recognition.backlogged


async def test_writers_wait_while_too_many_results_do() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        for number in range(QUICK.max_results + 1):
            session.report("word", number, number + 1, segment=number)
        draining = asyncio.create_task(recognition.drain())
        await asyncio.sleep(0)
        assert not draining.done()

        results = aiter(recognition)
        await anext(results)
        await anext(results)
        await asyncio.wait_for(draining, 2)


async def test_a_writer_that_waits_is_freed_when_the_engine_fails_for_good() -> None:
    engine = FakeEngine(Policy(max_backlog=0.5))
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)
        draining = asyncio.create_task(recognition.drain())
        await asyncio.sleep(0)
        session.events.failed(UnsupportedLanguage("no"))

        await asyncio.wait_for(draining, 2)


async def test_leaving_in_mid_stream_closes_the_session() -> None:
    engine = FakeEngine()
    async with recognition_of(engine) as recognition:
        session = await engine.session()
        recognition.write(SECOND)

    assert session.closed


async def test_leaving_at_once_closes_the_session() -> None:
    engine = FakeEngine()
    async with recognition_of(engine):
        pass

    assert (await engine.session()).closed


async def test_a_language_that_the_engine_does_not_know_is_refused() -> None:
    with pytest.raises(UnsupportedLanguage):
        FakeEngine().recognise(RecognitionOptions(language="de-DE"))


@pytest.mark.parametrize(
    ("engine", "names"),
    [
        (PocketsphinxEngine(slots=1), "recognises en-US, not fr-XX"),
        (TranscribeEngine(region="us-east-1"), "recognises 99 languages, not fr-XX"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_an_engine_that_knows_its_languages_opens_nothing_for_another(
    engine: Engine, names: str
) -> None:
    with pytest.raises(UnsupportedLanguage, match=names):
        engine.recognise(RecognitionOptions(language="fr-XX"))
    assert engine.recognise(RecognitionOptions(language="en-US"))


class CountingSession(FakeSession):
    """Reports the number of each tenth of a second, read in the audio; dies when set to."""

    def __init__(self, events: SessionEvents, lead_in: float, lifetime: int | None) -> None:
        super().__init__(events)
        self._lead_in = lead_in
        self._lifetime = lifetime
        self._reported = 0

    def write(self, pcm: bytes) -> None:
        super().write(pcm)
        first = round(self._lead_in * 32_000)
        while len(self.written) >= first + (self._reported + 1) * 3_200:
            if self._reported == self._lifetime:
                self.events.failed(EngineCrashed("set to fail"))
                return
            number = int.from_bytes(self.written[first + self._reported * 3_200 :][:2], "little")
            start = self._lead_in + self._reported / 10
            self.report(str(number), start, start + 0.1, segment=self._reported)
            self._reported += 1

    def end(self) -> None:
        self.events.finished()


class CountingEngine(FakeEngine):
    def __init__(self, lifetimes: list[int], lead_in: float = 0.0) -> None:
        super().__init__(Policy(attempts=100, first_delay=0.0))
        self.lead_in = lead_in
        self._lifetimes: Callable[[], int | None] = iter([*lifetimes, None]).__next__

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        assert options.lead_in <= self.lead_in
        return CountingSession(events, options.lead_in, self._lifetimes())


@settings(max_examples=60)
@given(
    lifetimes=st.lists(st.integers(0, 10), max_size=8),
    cuts=st.lists(st.integers(1, 4_000), min_size=1, max_size=30),
    lead_in=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_wherever_sessions_die_no_final_is_lost_or_repeated(
    lifetimes: list[int], cuts: list[int], lead_in: float
) -> None:
    total = sum(cuts)
    pcm = b"".join(n.to_bytes(2, "little") * 1_600 for n in range(total // 1_600 + 1))

    async def run() -> list[Result]:
        async with recognition_of(CountingEngine(lifetimes, lead_in)) as recognition:
            at = 0
            for samples in cuts:
                recognition.write(pcm[at : at + 2 * samples])
                at += 2 * samples
                await asyncio.sleep(0)
            recognition.end()
            return await rest_of(recognition)

    results = asyncio.run(run())

    assert [result.text for result in results] == [str(n) for n in range(total // 1_600)]
    assert [result.segment for result in results] == list(range(total // 1_600))
    assert [result.start for result in results] == pytest.approx(
        [n / 10 for n in range(total // 1_600)]
    )


class TwoVoices(FakeSession):
    """Recognises words on both channels, levels between silence; dies when set to."""

    def __init__(self, events: SessionEvents, lifetime: int | None) -> None:
        super().__init__(events)
        self._lifetime = lifetime
        self._at = 0
        self._sounding: list[tuple[int, int]] = [(0, 0), (0, 0)]  # level and since when
        self._reported = [0, 0]
        self._settled = [0.0, 0.0]

    def write(self, pcm: bytes) -> None:
        super().write(pcm)
        for levels in struct.iter_unpack("<hh", pcm):
            for channel, level in enumerate(levels):
                was, since = self._sounding[channel]
                if level == was:
                    continue
                self._sounding[channel] = (level, self._at)
                if was and not self._word(channel, was, since):
                    return
            self._at += 1

    def end(self) -> None:
        for channel, (level, since) in enumerate(self._sounding):
            if level and not self._word(channel, level, since):
                return
        self.events.finished()

    def _word(self, channel: int, level: int, since: int) -> bool:
        if sum(self._reported) == self._lifetime:
            self.events.failed(EngineCrashed("set to fail"))
            return False
        start, end = since / 16_000, self._at / 16_000
        self.events.recognised(
            Result(
                segment=self._reported[channel],
                is_final=True,
                text=str(level),
                start=start,
                end=end,
                channel=channel,
            )
        )
        self._reported[channel] += 1
        self._settled[channel] = end
        self.events.progressed(self._at / 16_000, min(self._settled))
        return True


class TwoVoicesEngine(FakeEngine):
    capabilities = Capabilities(channels=2)

    def __init__(self, lifetimes: list[int]) -> None:
        super().__init__(Policy(attempts=100, first_delay=0.0))
        self._lifetimes: Callable[[], int | None] = iter([*lifetimes, None]).__next__

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        assert options.channels == 2
        return TwoVoices(events, self._lifetimes())


words = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 900)), max_size=6)


@settings(max_examples=60)
@given(
    lifetimes=st.lists(st.integers(0, 4), max_size=6),
    voices=st.tuples(words, words),
    cut=st.integers(100, 3_000),
)
def test_wherever_sessions_die_no_channel_loses_or_repeats_a_final(
    lifetimes: list[int], voices: tuple[list[tuple[int, int]], list[tuple[int, int]]], cut: int
) -> None:
    tracks = [bytearray(), bytearray()]
    spoken: list[tuple[int, int, str, float, float]] = []
    for channel, (track, voice) in enumerate(zip(tracks, voices, strict=True)):
        for number, (pause, length) in enumerate(voice, 1):
            track.extend(bytes(2 * (pause + 1)))
            start = len(track) // 2
            track.extend(number.to_bytes(2, "little") * length)
            end = start + length
            spoken.append((channel, number - 1, str(number), start / 16_000, end / 16_000))
    total = max(len(track) for track in tracks)
    left, right = (bytes(track).ljust(total, b"\0") for track in tracks)
    frames = [left[at : at + 2] + right[at : at + 2] for at in range(0, total, 2)]

    async def run() -> list[Result]:
        engine = TwoVoicesEngine(lifetimes)
        async with engine.recognise(RecognitionOptions(channels=2)) as recognition:
            for at in range(0, len(frames), cut):
                recognition.write(b"".join(frames[at : at + cut]))
                await asyncio.sleep(0)
            recognition.end()
            return await rest_of(recognition)

    results = asyncio.run(run())

    found = sorted((r.channel, r.segment, r.text, r.start, r.end) for r in results)
    assert [word[:3] for word in found] == [word[:3] for word in spoken]
    for word, expected in zip(found, spoken, strict=True):
        assert word[3:] == pytest.approx(expected[3:])


async def test_more_channels_than_the_engine_takes_are_refused() -> None:
    with pytest.raises(UnsupportedChannels, match="1 channel, not 2"):
        FakeEngine().recognise(RecognitionOptions(channels=2))
