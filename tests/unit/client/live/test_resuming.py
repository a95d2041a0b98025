"""A stream over many connections, to a service that fails in every way; in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from client.errors import (
    ClientError,
    ConnectionLost,
    ExitCode,
    GaveUp,
    NoConnection,
    OutputFailed,
    Refused,
    UnreadableAudio,
)
from client.live.connection import Received
from client.live.missed import Fetch, Found
from client.live.recording import Pace
from client.live.recovery import Attempt
from client.live.resuming import ResumingStream
from speech.pcm import PcmFormat
from tests.support.virtual_time import run_in_virtual_time
from transcripts.models import Utterance
from transcripts.protocol import (
    DEAD_SECONDS,
    RESUME_SECONDS,
    Ack,
    Closed,
    ErrorCode,
    Final,
    Ready,
)

pytestmark = pytest.mark.unit

RATE = 100
AUDIO = PcmFormat(RATE)
TOKEN = "csr_token"  # noqa: S105 - of a fake
SPOKEN: dict[str, Any] = {
    "conversation_id": "c",
    "speaker": "Ada",
    "language": "en-US",
    "start_time": 0,
    "end_time": 1,
    "text": "hello",
    "timestamp": "2026-11-20T09:00:00Z",
}
FOREVER = 1e9


def now() -> float:
    return asyncio.get_running_loop().time()


def recording(seconds: float) -> bytes:
    """Return audio whose every sample is another one."""
    return b"".join((at % 65_521).to_bytes(2, "little") for at in range(round(seconds * RATE)))


async def read(pcm: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(pcm), 20):
        yield pcm[at : at + 20]


async def speak_live(pcm: bytes) -> AsyncGenerator[bytes, None]:
    began = now()
    async for number, frame in _numbered(read(pcm)):
        await asyncio.sleep(began + (number + 1) * 0.1 - now())
        yield frame


async def _numbered(frames: AsyncGenerator[bytes, None]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for frame in frames:
        yield number, frame
        number += 1


@dataclass
class Line:
    """What happens to one connection."""

    refusal: ClientError | None = None
    #: It lasts so long.
    seconds: float = FOREVER
    #: The error that ends it; None: it falls silent.
    end: ClientError | Closed | None = field(default_factory=lambda: ConnectionLost("cut"))
    #: The task behind it died meanwhile, so that what is not durable is needed again.
    is_other_task: bool = False
    #: The stream was over before.
    closed: Closed | None = None


@dataclass
class Service:
    """A service with a ledger; it keeps the audio that it has received."""

    lines: deque[Line] = field(default_factory=deque)
    resumes: bool = True
    #: It reads nothing before this moment.
    reads_from: float = 0.0
    audio: bytearray = field(default_factory=bytearray)
    durable: int = 0
    #: Seconds that `durable` is behind what was received.
    behind: float = 2.0
    attempts: list[tuple[float, Attempt]] = field(default_factory=list)
    continued: list[tuple[int, float]] = field(default_factory=list)
    pauses: list[tuple[int, float]] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    streams: int = 1
    stops: int = 0
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    @property
    def next(self) -> int:
        return len(self.audio) // 2

    @contextlib.asynccontextmanager
    async def connect(self, attempt: Attempt) -> AsyncIterator[Connection]:
        self.attempts.append((now(), attempt))
        line = self.lines.popleft() if self.lines else Line()
        await asyncio.sleep(0.01)
        if line.refusal is not None:
            raise line.refusal
        if attempt.token is None and self.attempts[0][1] is not attempt:
            self.streams += 1
            self.audio.clear()
            self.durable = 0
        if line.is_other_task:
            del self.audio[self.durable * 2 :]
        yield Connection(self, line)


class Connection:
    def __init__(self, service: Service, line: Line) -> None:
        self._service = service
        self._line = line
        self._until = now() + line.seconds
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = line.closed
        self.ready = Ready(
            conversation_id="c",
            stream_id=f"s{service.streams}",
            engine="none",
            language="en-US",
            sample_rate=RATE,
            channels=1,
            resume_token=TOKEN if service.resumes else None,
            resume_from=service.next if service.resumes else None,
        )
        for name in service.finals:
            self.say(name)

    def say(self, name: str, number: int | None = None) -> None:
        stream = f"s{self._service.streams}"
        fields = {**SPOKEN, "utterance_id": f"{stream}-{name}", "number": number, "seq": 1}
        self._messages.put_nowait(Final.model_validate(fields))

    async def received(self) -> AsyncIterator[Received]:
        service = self._service
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    message = await self._messages.get()
                    yield Received("", message)
                    if isinstance(message, Closed):
                        return
                    continue
            if now() >= self._until:
                if isinstance(self._line.end, Closed):
                    yield Received("", self._line.end)
                    return
                if self._line.end is None:
                    await asyncio.sleep(DEAD_SECONDS)
                    raise ConnectionLost("nothing was received for 3 s")
                raise self._line.end
            behind = round(service.behind * RATE)
            service.durable = max(service.durable, service.next - behind)
            durable = service.durable if service.resumes else None
            seconds = service.next / RATE
            ack = Ack(received=seconds, processed=seconds, lag=0.0, durable=durable)
            yield Received("", ack)

    async def continue_from(self, sample: int, age: float) -> None:
        assert self._service.resumes, "a service of before does not know this message"
        self._service.continued.append((sample, age))
        assert sample >= self._service.next
        self._service.audio += bytes(2 * (sample - self._service.next))

    async def pause(self, sample: int, seconds: float) -> None:
        self._service.pauses.append((sample, seconds))

    async def send(self, pcm: bytes) -> None:
        if now() >= self._until:
            if self._line.end is None:
                await asyncio.sleep(FOREVER)
            raise ConnectionLost("the connection ended")
        await asyncio.sleep(max(0.0, self._service.reads_from - now()))
        assert len(self._service.continued) or not self._service.resumes
        self._service.audio += pcm
        self._service.arrivals.append((now(), self._service.next))

    async def stop(self) -> None:
        if now() >= self._until:
            raise ConnectionLost("the connection ended")
        self._service.stops += 1
        closed = Closed(reason="stopped", duration=self._service.next / RATE, finals=0)
        self._messages.put_nowait(closed)

    def cut(self) -> None:
        self._until = now()


@dataclass
class Events:
    finals: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    retries: list[tuple[str, float, float]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    new_streams: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)

    def on_message(self, received: Received) -> None:
        if isinstance(received.message, Final):
            self.finals.append(received.message.utterance_id)

    def on_found(self, utterance: Utterance) -> None:
        self.found.append(utterance.utterance_id)

    def on_retry(self, error: ClientError, delay: float, kept: float) -> None:
        self.retries.append((str(error), delay, kept))

    def on_lost(self, seconds: float) -> None:
        self.lost.append(seconds)

    def on_new_stream(self, seconds: float) -> None:
        self.new_streams.append(seconds)

    def on_missing(self, finals: int) -> None:
        self.missing.append(finals)


@dataclass
class Case:
    """One stream, its service and what its user saw."""

    service: Service
    pcm: bytes
    pace: Pace = Pace.LIVE
    events: Events = field(default_factory=Events)
    fetch: Fetch | None = None
    during: Callable[[ResumingStream], None] = lambda _: None
    took: float = 0.0

    def run(self) -> Closed:
        async def run() -> Closed:
            source = speak_live if self.pace is Pace.LIVE else read
            self.stream = ResumingStream(
                self.service.connect,
                source(self.pcm),
                self.events,
                audio=AUDIO,
                pace=self.pace,
                fetch=self.fetch,
            )
            self.during(self.stream)
            try:
                return await self.stream.run()
            finally:
                self.took = now()

        return run_in_virtual_time(run())


def refused(code: ErrorCode, retry_after: float | None = None) -> Line:
    return Line(refusal=Refused(code, "no", retry_after))


LINES = {
    "cuts": [Line(seconds=2.5), Line(seconds=3.7), Line(seconds=0.5)],
    "silence": [Line(seconds=2.5, end=None), Line(seconds=4.0, end=None)],
    "another task": [Line(seconds=5.0), Line(seconds=4.0, is_other_task=True)],
    "nobody": [Line(seconds=4.0), *[Line(refusal=NoConnection("no network"))] * 6],
    "refusals": [
        Line(seconds=4.0),
        refused(ErrorCode.AT_CAPACITY, 3.0),
        refused(ErrorCode.LEDGER_UNAVAILABLE, 2.0),
        refused(ErrorCode.MOVED),
        refused(ErrorCode.ACCESS_UNAVAILABLE),
        refused(ErrorCode.ENGINE_FAILED),
        refused(ErrorCode.DRAINING),
    ],
    "a drain": [Line(seconds=4.0, end=Closed(reason="draining", duration=4.0, finals=0))],
    "errors in mid-stream": [
        Line(seconds=3.0, end=Refused(code, "end"))
        for code in (ErrorCode.MOVED, ErrorCode.DRAINING, ErrorCode.ENGINE_FAILED)
    ],
}


@pytest.mark.parametrize("pace", Pace)
@pytest.mark.parametrize("lines", LINES)
def test_whatever_happens_on_the_way_all_audio_arrives_once_and_in_order(
    lines: str, pace: Pace
) -> None:
    case = Case(Service(deque(LINES[lines])), recording(30), pace)
    closed = case.run()

    assert closed.reason == "stopped"
    assert bytes(case.service.audio) == case.pcm
    assert case.service.stops == 1
    assert case.events.lost == case.events.new_streams == []
    assert case.stream.unrecognised == 0
    numbers = [attempt.number for _, attempt in case.service.attempts]
    assert numbers == sorted(set(numbers)), "each connection has a larger number"
    assert {attempt.token for _, attempt in case.service.attempts[1:]} <= {TOKEN}


def test_a_live_source_catches_up_at_four_times_the_speed_of_speech() -> None:
    out_of_order = [Line(seconds=5.0), *[Line(refusal=NoConnection("no network"))] * 4]
    case = Case(Service(deque(out_of_order)), recording(60))
    case.run()

    began = case.service.attempts[-1][0]
    first = case.service.continued[-1][0]
    assert case.service.continued[-1][1] > 2.0, "it is said how old the audio is"
    for moment, end in case.service.arrivals:
        if moment > began:
            assert end - first <= 4 * RATE * (moment - began) + 1e-6
    assert case.took == pytest.approx(60, abs=1), "it has caught up"


def test_a_file_goes_as_fast_as_the_service_reads() -> None:
    case = Case(Service(deque([Line(seconds=0.0)])), recording(300), Pace.FAST)
    case.run()
    assert bytes(case.service.audio) == case.pcm
    assert case.took < 10
    assert {age for _, age in case.service.continued} == {0.0}


def test_after_ten_minutes_without_a_connection_it_gives_up() -> None:
    nobody = Line(refusal=NoConnection("no network"))
    case = Case(Service(deque([Line(seconds=5.0), *[nobody] * 1000])), recording(1000))
    with pytest.raises(GaveUp, match="no network") as caught:
        case.run()

    assert caught.value.exit_code is ExitCode.CONNECTION_LOST
    assert "10 minutes" in str(caught.value)
    assert case.took == pytest.approx(RESUME_SECONDS + 5, abs=5)
    assert len(case.service.attempts) < 150, "it backs off"
    seconds = case.took - case.service.durable / RATE
    assert case.stream.unrecognised == pytest.approx(seconds, abs=1), "what found no room counts"


def test_a_service_that_admits_it_and_fails_at_once_is_given_up_too() -> None:
    failing = Line(seconds=0.0, end=Refused(ErrorCode.ENGINE_FAILED, "no engine"))
    case = Case(Service(deque([Line(seconds=5.0), *[failing] * 1000])), recording(1000))
    with pytest.raises(GaveUp, match="no engine"):
        case.run()
    assert len(case.service.attempts) < 150


@pytest.mark.parametrize("code", [ErrorCode.ACCESS_REVOKED, ErrorCode.INVALID_OPTION])
def test_an_error_that_would_come_again_ends_it_at_once(code: ErrorCode) -> None:
    case = Case(Service(deque([Line(seconds=5.0), refused(code)])), recording(30))
    with pytest.raises(Refused) as caught:
        case.run()
    assert caught.value.code == code
    assert case.took < 10


def test_the_first_connection_is_made_at_once_or_not_at_all() -> None:
    case = Case(Service(deque([refused(ErrorCode.AT_CAPACITY, 3.0)])), recording(1))
    with pytest.raises(Refused):
        case.run()
    assert case.events.retries == []


def test_a_token_stands_for_the_ticket_until_a_ticket_is_asked_for() -> None:
    lines = [Line(seconds=2.0), Line(seconds=2.0), refused(ErrorCode.TICKET_USED), Line()]
    case = Case(Service(deque(lines)), recording(10))
    case.run()

    attempts = [attempt for _, attempt in case.service.attempts]
    assert [attempt.with_ticket for attempt in attempts] == [True, False, False, True]
    asked, answered = (moment for moment, _ in case.service.attempts[2:])
    assert answered - asked < 0.1, "it brings the ticket at once"
    assert TOKEN not in repr(attempts)
    assert bytes(case.service.audio) == case.pcm


def test_a_stream_that_cannot_be_resumed_goes_on_as_a_new_one_with_what_is_not_durable() -> None:
    lines = [Line(seconds=5.5), refused(ErrorCode.RESUME_REFUSED)]
    case = Case(Service(deque(lines)), recording(10))
    case.run()

    begun = case.service.attempts[-1][1]
    assert (begun.token, begun.with_ticket, begun.conversation_id) == (None, True, "c")
    rest = bytes(case.service.audio)
    assert case.pcm.endswith(rest)
    assert len(case.pcm) - len(rest) == pytest.approx(3 * RATE * 2, abs=RATE * 2)
    assert case.service.continued[-1][0] == 0
    assert case.service.continued[-1][1] == pytest.approx(case.events.new_streams[0], abs=2)
    assert case.took < 30


def test_a_resume_may_be_answered_with_the_end() -> None:
    over = Closed(reason="stopped", duration=3.0, finals=2)
    case = Case(Service(deque([Line(seconds=2.5), Line(closed=over)])), recording(3))
    assert case.run() is over
    assert case.stream.unrecognised == 0
    assert case.stream.progress.finished


def test_the_end_is_said_when_there_is_a_connection_again() -> None:
    lines = [Line(seconds=2.0), *[Line(refusal=NoConnection("no network"))] * 5]
    case = Case(Service(deque(lines)), recording(3))
    assert case.run().reason == "stopped"
    assert bytes(case.service.audio) == case.pcm
    assert case.took > 5


def test_with_a_service_of_before_the_stream_ends_with_its_connection() -> None:
    case = Case(Service(deque([Line(seconds=2.0)]), resumes=False), recording(5))
    with pytest.raises(ConnectionLost, match="cut"):
        case.run()
    assert len(case.service.attempts) == 1
    assert case.service.continued == []

    whole = Case(Service(resumes=False), recording(5), Pace.FAST)
    assert whole.run().reason == "stopped"
    assert bytes(whole.service.audio) == whole.pcm


def test_a_service_of_before_that_does_not_read_gets_no_old_audio() -> None:
    service = Service(resumes=False, reads_from=20.0)
    case = Case(service, recording(40))
    case.run()
    [lost] = case.events.lost
    assert lost == pytest.approx(15, abs=1)
    assert case.pcm.endswith(bytes(service.audio)[-2 * 24 * RATE :])
    assert len(service.audio) == pytest.approx(2 * 25 * RATE, abs=2 * RATE)


def test_a_service_of_before_that_a_stream_reaches_in_its_middle_gets_the_rest() -> None:
    service = Service(deque([Line(seconds=4.0)]))
    case = Case(service, recording(8))

    def roll_back(_: ResumingStream) -> None:
        asyncio.get_running_loop().call_later(4.1, setattr, service, "resumes", False)

    case.during = roll_back
    service.lines.append(refused(ErrorCode.MOVED))
    assert case.run().reason == "stopped"
    assert len(case.events.new_streams) == 1
    assert bytes(service.audio).endswith(case.pcm[-2 * RATE :])


def test_live_audio_beyond_ten_minutes_is_lost_and_said_to_be() -> None:
    service = Service(deque([Line(seconds=659.0), Line(is_other_task=True)]), behind=FOREVER)
    case = Case(service, recording(662))
    case.run()
    [lost] = case.events.lost
    assert lost == pytest.approx(60, abs=2)
    assert bytes(service.audio)[-2 * 100 * RATE :] == case.pcm[-2 * 100 * RATE :]


def test_a_file_waits_while_there_is_no_room() -> None:
    service = Service(deque([Line(seconds=700.0), Line(is_other_task=True)]), behind=FOREVER)
    case = Case(service, recording(650), Pace.REAL_TIME)

    def recover(_: ResumingStream) -> None:
        asyncio.get_running_loop().call_later(705.0, setattr, service, "behind", 1.0)

    case.during = recover
    case.run()
    assert case.events.lost == []
    assert bytes(service.audio) == case.pcm


def test_pauses_are_announced_and_again_where_the_audio_is_sent_again() -> None:
    service = Service(deque([Line(seconds=5.0), Line(is_other_task=True)]))
    case = Case(service, recording(8))

    def note(stream: ResumingStream) -> None:
        for moment in (1.01, 4.01):
            asyncio.get_running_loop().call_later(moment, stream.note_pause, 30.0)

    case.during = note
    case.run()
    early, late, again = service.pauses
    assert early[1] == 30.0
    assert early[0] == pytest.approx(RATE, abs=RATE // 5)
    assert late == again
    assert late[0] == pytest.approx(4 * RATE, abs=RATE // 5)


def test_finals_that_come_again_are_shown_once() -> None:
    service = Service(deque([Line(seconds=2.0), Line(seconds=2.0)]), finals=["1", "2"])
    case = Case(service, recording(6))
    case.run()
    assert case.events.finals == ["s1-1", "s1-2"]
    assert case.stream.progress.finals == 2


def test_finals_that_were_said_to_nobody_are_read_from_the_conversation() -> None:
    since_when: list[str | None] = []

    async def fetch(conversation: str, since: str | None) -> Found:
        assert conversation == "c"
        since_when.append(since)
        of_others = {**SPOKEN, "utterance_id": "other-1", "number": 1}
        ours = {**SPOKEN, "utterance_id": "s1-7", "number": 1}
        utterances = tuple(Utterance.model_validate(each) for each in (of_others, ours))
        return Found(utterances, f"p{len(since_when)}")

    case = Case(Service(deque([Line(seconds=2.0)])), recording(5), fetch=fetch)
    case.run()
    assert case.events.found == ["s1-7"]
    assert case.events.missing == []
    assert since_when[0] is None

    long = Case(Service(), recording(700), fetch=fetch)
    since_when.clear()
    long.run()
    assert since_when == [None, "p1"], "now and then for a newer position"


def test_output_that_fails_ends_the_stream() -> None:
    async def fetch(_conversation: str, _since: str | None) -> Found:
        ours = {**SPOKEN, "utterance_id": "s1-7", "number": 1}
        return Found((Utterance.model_validate(ours),), None)

    class FullDisk(Events):
        def on_found(self, utterance: Utterance) -> None:
            raise OutputFailed(f"no room for {utterance.utterance_id}")

    lines = deque([Line(seconds=2.0)])
    case = Case(Service(lines), recording(60), events=FullDisk(), fetch=fetch)
    with pytest.raises(OutputFailed):
        case.run()
    assert case.took < 10


def test_what_nobody_can_read_is_counted() -> None:
    async def fetch(conversation: str, since: str | None) -> Found:
        raise NoConnection(f"{conversation} {since}")

    over = Closed(reason="stopped", duration=3.0, finals=2)
    case = Case(Service(deque([Line(seconds=2.5), Line(closed=over)])), recording(3), fetch=fetch)
    case.run()
    assert case.events.missing == [2]


def interrupt_at(moment: float) -> Callable[[ResumingStream], None]:
    def plan(stream: ResumingStream) -> None:
        asyncio.get_running_loop().call_later(moment, stream.interrupt)

    return plan


def test_an_interruption_ends_the_audio_and_the_last_words_still_come() -> None:
    case = Case(Service(), recording(60), during=interrupt_at(3.05))
    assert case.run().reason == "stopped"
    assert case.pcm.startswith(bytes(case.service.audio))
    assert case.service.next == pytest.approx(3 * RATE, abs=RATE // 5)


@pytest.mark.parametrize("pace", [Pace.LIVE, Pace.REAL_TIME])
def test_an_interruption_without_a_connection_ends_within_seconds(pace: Pace) -> None:
    lines = deque([Line(seconds=0.5), *[Line(refusal=NoConnection("no network"))] * 100])
    case = Case(Service(lines), recording(60), pace, during=interrupt_at(3.0))
    with pytest.raises(ConnectionLost, match="last words"):
        case.run()
    assert case.took == pytest.approx(8, abs=0.1)


def test_a_file_that_breaks_off_is_recognised_up_to_there() -> None:
    async def damaged() -> AsyncGenerator[bytes, None]:
        yield bytes(20)
        raise UnreadableAudio("damaged")

    async def run() -> Service:
        service = Service()
        stream = ResumingStream(service.connect, damaged(), Events(), audio=AUDIO, pace=Pace.FAST)
        with pytest.raises(UnreadableAudio):
            await stream.run()
        return service

    service = run_in_virtual_time(run())
    assert (len(service.audio), service.stops) == (20, 1)
