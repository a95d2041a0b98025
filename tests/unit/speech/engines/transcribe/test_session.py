from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from amazon_transcribe.model import Result as ServiceResult
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.base import Result
from speech.engines.errors import EngineError, EngineStalled, SessionEnded
from speech.engines.transcribe.errors import (
    ConnectionLost,
    CredentialsExpired,
    Throttled,
    UnreadableEvent,
)
from speech.engines.transcribe.link import Receiver
from speech.engines.transcribe.session import Patience, TranscribeSession
from speech.engines.transcribe.wire import decode
from tests.support.transcribe_messages import transcript

pytestmark = pytest.mark.unit

SECOND = bytes(range(250)) * 128
TENTH = SECOND[:3_200]
QUICK = Patience(tick=0.01, idle=0.05, answer=0.1, last_final=0.1, replay_second=0.0)


class FakeLink:
    """Keeps what is sent; the test sets how much of it waits."""

    receiver: Receiver
    request_id: str | None = "request"

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.waiting = 0
        self.closed = False
        self._sent = asyncio.Event()

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        raise NotImplementedError

    def send_audio(self, pcm: bytes) -> None:
        self.events.append(pcm)
        self._sent.set()

    def end_audio(self) -> None:
        self.events.append(b"")

    async def until(self, count: int) -> None:
        """Wait until so many events were sent."""
        async with asyncio.timeout(5):
            while len(self.events) < count:
                self._sent.clear()
                await self._sent.wait()

    async def close(self) -> None:
        self.closed = True

    @property
    def audio(self) -> bytes:
        return b"".join(self.events)


class FakeEvents:
    """Keeps what a session reports."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.progress: list[tuple[float, float]] = [(0.0, 0.0)]
        self.outcome: asyncio.Future[EngineError | None] = (
            asyncio.get_running_loop().create_future()
        )

    def progressed(self, processed: float, settled: float) -> None:
        before = self.progress[-1]
        assert processed >= before[0]
        assert settled >= before[1]
        self.progress.append((processed, settled))

    def recognised(self, result: Result) -> None:
        assert not self.outcome.done()
        self.results.append(result)

    def finished(self) -> None:
        self.outcome.set_result(None)

    def failed(self, error: EngineError) -> None:
        self.outcome.set_result(error)

    async def error(self) -> EngineError | None:
        async with asyncio.timeout(5):
            return await self.outcome


def results(*where: Any, **what: Any) -> list[ServiceResult]:
    """Return the results of an event; see `transcript`."""
    return decode(transcript(*where, **what))


def session_of(
    patience: Patience | None = None, **more: Any
) -> tuple[TranscribeSession, FakeLink, FakeEvents]:
    link, events = FakeLink(), FakeEvents()
    return TranscribeSession(link, events, patience=patience, **more), link, events


async def test_a_usual_chunk_is_an_event_at_once() -> None:
    session, link, events = session_of()
    session.write(TENTH)
    session.write(TENTH)

    assert link.events == [TENTH, TENTH]
    assert events.progress[-1] == (0.2, 0.0)
    await session.close()


@given(
    cuts=st.lists(st.integers(1, 30_000), max_size=20),
    channels=st.sampled_from([1, 2]),
)
def test_all_audio_is_sent_in_events_of_a_fit_length(cuts: list[int], channels: int) -> None:
    async def check() -> None:
        session, link, _ = session_of(channels=channels)
        frame = 2 * channels
        audio = (SECOND * 20)[: sum(cuts) // frame * frame]
        at = 0
        for cut in cuts:
            session.write(audio[at : at + cut])
            at += cut
        session.end()

        assert link.audio == audio
        *events, end = link.events
        assert end == b""
        assert all(events)
        assert all(len(event) % frame == 0 for event in events)
        assert all(len(event) <= 6_400 * channels for event in events)
        assert all(len(event) >= 1_600 * channels for event in events[:-1])
        await session.close()

    asyncio.run(check())


async def test_what_is_too_short_for_an_event_goes_out_all_the_same() -> None:
    session, link, events = session_of(Patience(tick=0.01))
    session.write(TENTH[:320])
    assert link.events == []
    await link.until(1)

    assert link.audio == TENTH[:320]
    assert events.progress[-1][0] == 0.01
    await session.close()


async def test_a_final_settles_its_audio_in_the_same_moment() -> None:
    session, _, events = session_of()
    session.write(SECOND)
    session.deliver(results("Hello", 0.1, 0.4, partial=True))
    assert events.progress[-1] == (1.0, 0.0)
    session.deliver(results("Hello.", 0.1, 0.5))

    assert [(r.text, r.is_final) for r in events.results] == [("Hello", False), ("Hello.", True)]
    assert events.progress[-1] == (1.0, 0.5)
    await session.close()


async def test_no_more_is_settled_than_was_sent() -> None:
    session, _, events = session_of()
    session.write(TENTH)
    session.deliver(results("Hello.", 0.1, 0.5))

    assert events.progress[-1] == (0.1, 0.1)
    await session.close()


async def test_audio_that_waits_in_the_transport_is_not_processed() -> None:
    session, link, events = session_of()
    link.waiting = 6_400
    session.write(SECOND)
    assert events.progress[-1] == (0.8, 0.0)
    link.waiting = 0
    session.drained()

    assert events.progress[-1] == (1.0, 0.0)
    await session.close()


async def test_the_stream_ends_with_an_empty_event_and_the_services_close() -> None:
    session, link, events = session_of()
    session.write(SECOND)
    session.end()
    session.end()
    session.deliver(results("Hello.", 0.1, 0.5))
    assert not events.outcome.done()
    session.ended()

    assert link.events.count(b"") == 1
    assert await events.error() is None
    assert events.progress[-1] == (1.0, 1.0)


async def test_an_end_in_order_in_mid_stream_is_a_loss() -> None:
    session, _, events = session_of()
    session.write(SECOND)
    session.ended()

    error = await events.error()
    assert isinstance(error, ConnectionLost)
    assert error.retryable


async def test_a_connection_that_goes_before_the_end_is_sent_is_lost() -> None:
    session, _, events = session_of()
    session.write(SECOND)
    session.end()
    session.failed(ConnectionLost("cut"))

    assert isinstance(await events.error(), ConnectionLost)


async def test_a_close_before_the_final_of_a_partial_is_a_loss() -> None:
    session, _, events = session_of()
    session.write(SECOND)
    session.end()
    session.deliver(results("Hello", 0.1, 0.4, partial=True))
    session.ended()

    assert isinstance(await events.error(), ConnectionLost)


async def test_a_service_that_does_not_finish_is_not_waited_for() -> None:
    session, _, events = session_of(QUICK)
    session.write(SECOND)
    session.end()

    assert isinstance(await events.error(), EngineStalled)


async def test_a_service_may_take_as_long_for_what_comes_at_once_as_it_lasts() -> None:
    session, link, events = session_of(Patience(tick=0.01, last_final=0.05))
    session.write(TENTH * 5)
    assert not session.detects_stalls
    session.end()
    assert session.detects_stalls
    await asyncio.sleep(0.2)
    assert not events.outcome.done()

    assert isinstance(await events.error(), EngineStalled)
    assert link.events[-1] == b""


async def test_what_has_not_left_is_not_owed_an_answer_to() -> None:
    session, link, events = session_of(QUICK)
    link.waiting = 1
    session.write(SECOND)
    session.end()
    await asyncio.sleep(0.2)

    assert not session.detects_stalls  # that it does not leave is a stall like any other
    assert not events.outcome.done()
    await session.close()


async def test_a_service_that_stops_speaking_in_a_segment_is_not_waited_for() -> None:
    session, _, events = session_of(QUICK)
    session.write(TENTH)
    session.deliver(results("Hello", 0.0, 0.1, partial=True))
    session.write(TENTH)

    assert isinstance(await events.error(), EngineStalled)


async def test_silence_without_results_is_no_stall() -> None:
    session, _, events = session_of(QUICK)
    for _ in range(30):
        session.write(TENTH)
        await asyncio.sleep(0.01)

    assert not events.outcome.done()
    await session.close()


async def test_in_silence_zeros_are_sent_which_are_not_in_our_time() -> None:
    session, link, events = session_of(QUICK)
    session.write(TENTH)
    await link.until(3)
    zeros = len(link.audio) - len(TENTH)
    assert link.audio[len(TENTH) :] == bytes(zeros)
    session.write(TENTH)
    shift = zeros / 32_000
    session.deliver(results("Hello.", 0.1 + shift, 0.15 + shift))

    assert events.results[0].start == pytest.approx(0.1)
    assert events.results[0].end == pytest.approx(0.15)
    assert events.progress[-1][0] == pytest.approx(0.2)
    await session.close()


async def test_an_open_segment_gets_silence_until_it_ends() -> None:
    session, link, _ = session_of(Patience(tick=0.01, idle=0.05))
    session.write(TENTH)
    session.deliver(results("Hello", 0.0, 0.1, partial=True))
    await link.until(2)

    assert len(link.audio) == len(TENTH) + 32_000
    await session.close()


async def test_a_frozen_peer_gets_no_zeros() -> None:
    session, link, _ = session_of(Patience(tick=0.01, idle=0.02))
    link.waiting = 1
    await asyncio.sleep(0.1)

    assert link.events == []
    await session.close()


async def test_a_session_is_replaced_in_a_pause_before_its_time_is_up() -> None:
    session, _, events = session_of(Patience(tick=0.01, renewal_age=2.0, max_age=100.0))
    session.write(SECOND)
    session.deliver(results("Hello", 0.0, 0.9, partial=True))
    session.write(SECOND * 2)
    await asyncio.sleep(0.05)
    assert not events.outcome.done()
    session.deliver(results("Hello.", 0.0, 1.0))

    assert isinstance(await events.error(), SessionEnded)
    assert events.progress[-1][1] == 1.0


async def test_who_never_pauses_is_replaced_all_the_same() -> None:
    session, _, events = session_of(Patience(tick=0.01, renewal_age=1.0, max_age=2.0))
    session.write(SECOND)
    session.deliver(results("Hello", 0.0, 0.9, partial=True))
    session.write(SECOND)

    assert isinstance(await events.error(), SessionEnded)


async def test_an_exception_of_the_service_ends_the_session() -> None:
    session, _, events = session_of()
    session.failed(Throttled("Too many streams."))
    session.deliver(results("ghost", 0.0, 0.1))

    assert isinstance(await events.error(), Throttled)
    assert events.results == []


async def test_expired_credentials_are_reported() -> None:
    notified: list[str] = []
    session, _, events = session_of(expired=lambda: notified.append("expired"))
    session.failed(CredentialsExpired("The security token is expired"))

    assert isinstance(await events.error(), CredentialsExpired)
    assert notified == ["expired"]


@pytest.mark.parametrize(
    "message", [transcript("x", -1.0, 2.0), transcript("x", 0.0, 1.0, channel="ch_7")]
)
async def test_what_makes_no_sense_ends_the_session(message: bytes) -> None:
    session, _, events = session_of()
    session.deliver(decode(message))

    assert isinstance(await events.error(), UnreadableEvent)


async def test_a_final_before_what_makes_no_sense_is_settled() -> None:
    session, _, events = session_of()
    session.write(SECOND)
    session.deliver([*results("Hello.", 0.1, 0.5), *results("x", float("nan"), 2.0)])

    assert isinstance(await events.error(), UnreadableEvent)
    assert [result.text for result in events.results] == ["Hello."]
    assert events.progress[-1] == (1.0, 0.5)


async def test_after_close_nothing_is_reported_and_nothing_sent() -> None:
    session, link, events = session_of(QUICK)
    await session.close()
    await session.close()
    session.write(TENTH)
    session.end()
    session.deliver(results("ghost", 0.0, 0.1))
    session.ended()
    session.failed(ConnectionLost("cut"))
    await asyncio.sleep(0.1)

    assert link.closed
    assert link.events == []
    assert not events.outcome.done()
