"""Stream audio over any number of connections, so that no word is lost.

Audio is kept until the service says that it is durable, and sent again where it is needed after a
cut. docs/resume.md has the design. With a service that cannot resume, a stream ends with its
connection, as `client.live.speaking` has it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final as Constant
from typing import Protocol

from client.errors import ClientError, ConnectionLost, GaveUp, Refused
from client.live.audio import FRAME_SECONDS
from client.live.connection import Received
from client.live.missed import Fetch, FinalNumbers, MissedFinals
from client.live.recording import Pace, Recording
from client.live.recovery import Attempt, Step, decide
from client.live.speaking import INTERRUPTED_SECONDS, AudioConnection, AudioStream, StreamProgress
from foundation.backoff import backoff
from speech.pcm import PcmFormat
from transcripts.models import Utterance
from transcripts.protocol import (
    RESUME_SECONDS,
    Ack,
    Closed,
    Final,
    Partial,
    Ready,
)

#: The pause before a connection is made again doubles with each failure; seconds.
FIRST_DELAY: Constant = 0.5
LONGEST_DELAY: Constant = 10.0
#: Live audio that was kept is sent at so many times the speed of speech.
CATCH_UP: Constant = 4.0
#: Audio of a microphone that waits for a service that cannot resume, seconds.
WAITING_SECONDS: Constant = 5.0
#: How long finals are looked for that were published while there was no connection, seconds.
SEARCH_SECONDS: Constant = 10.0
_SEARCH_EVERY: Constant = 1.0
#: Ids of finals that are remembered, which is hours of talk.
_REMEMBERED: Constant = 10_000
#: Streams whose finals are looked for: whoever cannot resume begins another one.
_MOST_STREAMS: Constant = 8


class SpeakerConnection(AudioConnection, Protocol):
    """A connection on which a stream can go on."""

    ready: Ready
    closed: Closed | None

    async def continue_from(self, sample: int, age: float) -> None:
        """Announce with which sample the audio begins."""

    async def pause(self, sample: int, seconds: float) -> None:
        """Announce that nothing was recorded before a sample."""

    def cut(self) -> None:
        """End the connection at once."""


Connect = Callable[[Attempt], AbstractAsyncContextManager[SpeakerConnection]]


class StreamEvents(Protocol):
    """What happens to a stream. Called on the event loop."""

    def on_message(self, received: Received) -> None:
        """Take a message of the service; each final comes once."""

    def on_found(self, utterance: Utterance) -> None:
        """Take a final that was published while there was no connection."""

    def on_retry(self, error: ClientError, delay: float, kept: float) -> None:
        """Take the error of a connection; there are seconds until the next, and seconds kept."""

    def on_lost(self, seconds: float) -> None:
        """Note that so much audio could not be kept, and will not be recognised."""

    def on_new_stream(self, seconds: float) -> None:
        """Note that the stream could not be resumed; what is kept goes into a new one."""

    def on_missing(self, finals: int) -> None:
        """Note that so many finals were recognised, and could not be read."""


class ResumingStream:
    """A source of audio that is sent as one stream over any number of connections."""

    def __init__(
        self,
        connect: Connect,
        frames: AsyncGenerator[bytes, None],
        events: StreamEvents,
        *,
        audio: PcmFormat,
        pace: Pace,
        fetch: Fetch | None = None,
    ) -> None:
        """Make a stream.

        Args:
            connect: makes a connection.
            frames: the audio, in whole samples.
            events: notified of what happens.
            audio: the format of the frames.
            pace: how fast the frames are taken.
            fetch: reads finals that were missed.
        """
        self.progress = StreamProgress()
        self._connect = connect
        self._events = events
        self._audio = audio
        self._recording = Recording(frames, audio, pace)
        self._kept = self._recording.kept
        self._attempt = Attempt()
        #: Of this stream, and of those that could not be resumed.
        self._stream_ids: deque[str] = deque(maxlen=_MOST_STREAMS)
        self._next = 0  # the sample to send next
        self._durable = 0  # what comes before is in finals
        self._sent = 0  # the sample after the last one that was ever sent
        self._is_stopped = False
        self._interrupted = asyncio.Event()
        self._before: AudioStream | None = None
        self._seen: dict[str, None] = {}
        self._numbers = FinalNumbers()
        self._missed = MissedFinals(fetch, self._take_found) if fetch is not None else None
        self._failures = 0
        self._alive_at = 0.0  # when a connection was last of use
        self._progressed_at = 0.0

    @property
    def is_recording(self) -> bool:
        """Whether audio was taken from the source."""
        return self._recording.has_begun

    @property
    def unrecognised(self) -> float:
        """Seconds of audio that are not known to be recognised; 0 where no service says so."""
        if self._before is not None:
            return 0.0
        return max(0, self._kept.end - self._durable) / self._audio.sample_rate

    def note_pause(self, seconds: float) -> None:
        """Note that nothing was recorded for so long before the next frame."""
        self._recording.note_pause(seconds)

    async def run(self) -> Closed:
        """Send all frames and `stop`; return the last message.

        Its `reason` is `stopped`, unless the service ended the stream before the audio did.

        Raises:
            Refused: the service refused the stream, and another attempt would not help.
            ConnectionLost: there was no connection for ten minutes, or the service cannot resume.
            ClientError: the first connection could not be made.
            UnreadableAudio: the frames could not be read to their end; what was read is sent.
        """
        speaking = asyncio.create_task(self._speak())
        interrupted = asyncio.create_task(self._interrupted.wait())
        helpers: list[asyncio.Task[None]] = []
        if self._missed is not None:
            helpers.append(asyncio.create_task(self._missed.run()))
        try:
            await asyncio.wait(
                {speaking, interrupted, *helpers}, return_when=asyncio.FIRST_COMPLETED
            )
            for helper in helpers:
                if helper.done():
                    helper.result()  # what `events` raised
            if not speaking.done():
                await asyncio.wait({speaking}, timeout=INTERRUPTED_SECONDS)
            if not speaking.done():
                raise ConnectionLost(
                    f"the last words did not come within {INTERRUPTED_SECONDS:g} s"
                )
            closed = speaking.result()
            await self._search_missed(closed)
        finally:
            await self._recording.close()
            for task in (speaking, interrupted, *helpers):
                task.cancel()
            await asyncio.gather(speaking, interrupted, *helpers, return_exceptions=True)
            self.progress.reconnecting = False
        if self._recording.failure is not None:
            raise self._recording.failure
        return closed

    def interrupt(self) -> None:
        """End the audio here; what was recorded is still recognised, within a few seconds."""
        self._recording.end()
        if not self._recording.pace.is_slow:
            self._kept.cut_after(self._sent)
        if self._before is not None:
            self._before.interrupt()
        self._interrupted.set()

    # --- connections ----------------------------------------------------------------------------

    async def _speak(self) -> Closed:
        """Serve the stream on one connection after the other until it is over."""
        while True:
            try:
                async with self._connect(self._attempt) as speaker:
                    if speaker.closed is not None:
                        self._take_end(speaker.closed)
                        return speaker.closed
                    return await self._serve(speaker)
            except ClientError as error:
                if self._before is not None or isinstance(error, GaveUp) or not self.is_recording:
                    raise
                await self._recover(error)

    async def _recover(self, error: ClientError) -> None:
        """Prepare the next connection, and wait until it may be made.

        Raises:
            ClientError: there is to be none.
        """
        step = decide(error, self._attempt)
        if step is Step.GIVE_UP:
            raise error
        now = asyncio.get_running_loop().time()
        left = self._alive_at + RESUME_SECONDS - now
        if left <= 0:
            minutes = RESUME_SECONDS / 60
            raise GaveUp(f"{error}", f"There was no connection for {minutes:g} minutes.") from error
        self.progress.reconnecting = True
        if self._attempt.token is not None:
            self._attempt = replace(self._attempt, number=self._attempt.number + 1)
        if step is Step.BRING_TICKET:
            self._attempt = replace(self._attempt, with_ticket=True)
            return
        if step is Step.BEGIN_NEW_STREAM:
            self._begin_new_stream()
        self._failures += 1
        delay = backoff(self._failures, first=FIRST_DELAY, longest=LONGEST_DELAY)
        retry_after = error.retry_after if isinstance(error, Refused) else None
        delay = min(left, max(delay, retry_after or 0.0))
        self._events.on_retry(error, delay, self._kept.seconds)
        await asyncio.sleep(delay)

    def _begin_new_stream(self) -> None:
        """Go on with what is kept as a stream of its own."""
        moved = self._recording.begin_again()
        self._next, self._sent, self._durable = 0, max(0, self._sent - moved), 0
        self._attempt = Attempt(conversation_id=self._attempt.conversation_id)
        self._numbers = FinalNumbers()
        self._is_stopped = False
        self._events.on_new_stream(self._kept.seconds)

    async def _serve(self, speaker: SpeakerConnection) -> Closed:
        ready = speaker.ready
        if ready.resume_token is None:
            return await self._serve_as_before(speaker)
        is_resumed = self._attempt.token is not None
        sample = max(ready.resume_from or 0, self._kept.first)
        if sample > (ready.resume_from or 0):
            self._events.on_lost((sample - (ready.resume_from or 0)) / self._audio.sample_rate)
        self._next = sample
        if ready.stream_id not in self._stream_ids:
            self._stream_ids.append(ready.stream_id)
        self._attempt = Attempt(
            number=self._attempt.number,
            token=ready.resume_token,
            conversation_id=ready.conversation_id,
            with_ticket=self._attempt.with_ticket if is_resumed else False,
        )
        if not self._recording.has_begun:
            self._alive_at = self._progressed_at = asyncio.get_running_loop().time()
            self._recording.begin()
        if self._missed is not None:
            self._missed.conversation_id = ready.conversation_id
            if self.progress.reconnecting:
                self._missed.look()
        self.progress.reconnecting = False
        sending = asyncio.create_task(self._send(speaker, sample))
        receiving = asyncio.create_task(self._receive(speaker))
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                sending.result()
            return await receiving
        except ConnectionLost:
            speaker.cut()
            raise
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _serve_as_before(self, speaker: SpeakerConnection) -> Closed:
        """Serve the stream on this connection alone, because the service cannot resume it."""
        if self._attempt.token is not None:
            self._begin_new_stream()
        self._recording.begin()
        if self._recording.pace is Pace.LIVE:
            # What it cannot send now comes too late: such a service has no use for old audio.
            waiting = max(WAITING_SECONDS, self._kept.seconds)
            self._kept.most = round(waiting * self._audio.sample_rate)
        self.progress.reconnecting = False
        self._before = AudioStream(speaker, self._leave(), audio=self._audio, paced=False)
        self._before.progress = self.progress
        closed = await self._before.run(self._events.on_message)
        if self._kept.lost:
            self._events.on_lost(self._kept.lost / self._audio.sample_rate)
        return closed

    async def _leave(self) -> AsyncGenerator[bytes, None]:
        """Yield what is kept and what follows, and keep it no longer."""
        while True:
            try:
                pcm = await self._recording.read(self._kept.first, self._most)
            except IndexError:  # it found no room meanwhile
                continue
            if not pcm:
                return
            self._sent = self._kept.first + len(pcm) // self._audio.bytes_per_frame
            self._recording.release(self._sent)
            yield pcm

    @property
    def _most(self) -> int:
        """The most samples in one frame."""
        return max(1, round(FRAME_SECONDS * self._audio.sample_rate))

    async def _read(self) -> bytes:
        """Return the audio to send next; nothing at the end.

        Raises:
            ConnectionLost: it was dropped; the next connection goes on behind it.
        """
        try:
            return await self._recording.read(self._next, self._most)
        except IndexError:
            raise ConnectionLost("the audio to send next found no room") from None

    async def _send(self, speaker: SpeakerConnection, first: int) -> None:
        clock = asyncio.get_running_loop().time
        began, rate = clock(), self._audio.sample_rate
        try:
            await speaker.continue_from(first, self._recording.age(first))
        except ConnectionLost:
            return  # the receiving task learns why
        while pcm := await self._read():
            end = self._next + len(pcm) // self._audio.bytes_per_frame
            if self._recording.pace.is_slow:
                due = began + (end - first) / (CATCH_UP * rate)
                await asyncio.sleep(max(0.0, due - clock()))
            try:
                for at, seconds in self._recording.pauses(self._next, end):
                    await speaker.pause(at, seconds)
                await speaker.send(pcm)
            except ConnectionLost:
                return
            self._next, self._sent = end, max(self._sent, end)
            self.progress.sent = end / rate
        self._is_stopped = True
        with contextlib.suppress(ConnectionLost):
            await speaker.stop()

    # --- messages -------------------------------------------------------------------------------

    async def _receive(self, speaker: SpeakerConnection) -> Closed:
        async for received in speaker.received():
            self._alive_at = asyncio.get_running_loop().time()
            self._failures = 0
            message = received.message
            if isinstance(message, Closed) and message.reason == "draining":
                raise ConnectionLost("the service is shutting down")
            if isinstance(message, Ack):
                self._take_ack(message)
            elif isinstance(message, Final | Partial):
                if message.utterance_id in self._seen:
                    continue
                if isinstance(message, Final):
                    self._count(message)
            elif isinstance(message, Closed):
                self._take_end(message)
            self._events.on_message(received)
            if isinstance(message, Closed):
                return message
        raise ConnectionLost("the stream ended without `closed`")

    def _take_ack(self, ack: Ack) -> None:
        if ack.durable is not None:
            self._durable = max(self._durable, ack.durable)
            self._recording.release(self._durable)
        progress = self.progress
        if ack.processed != progress.processed:
            self._progressed_at = self._alive_at
        progress.processed = ack.processed
        newest = (
            self._kept.end / self._audio.sample_rate
            if self._recording.pace.is_slow
            else progress.sent
        )
        progress.lag = max(0.0, newest - ack.processed)
        if self._is_stopped and self._alive_at - self._progressed_at > RESUME_SECONDS:
            raise GaveUp(f"the last words did not come within {RESUME_SECONDS:g} s")

    def _take_end(self, closed: Closed) -> None:
        self._durable = self._kept.end
        self._recording.release(self._durable)
        self.progress.processed = closed.duration
        self.progress.lag = 0.0
        self.progress.finished = closed.reason == "stopped"

    def _take_found(self, utterance: Utterance) -> None:
        if utterance.stream_id not in self._stream_ids or utterance.utterance_id in self._seen:
            return
        self._count(utterance)
        self._events.on_found(utterance)

    def _count(self, final: Final | Utterance) -> None:
        """Note a final that was not received before."""
        self._seen[final.utterance_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._progressed_at = self._alive_at
        self.progress.finals += 1
        self.progress.words += len(final.text.split())
        if final.number is not None and self._is_current(final.utterance_id):
            self._numbers.add(final.number)
            if self._numbers.has_gap and self._missed is not None:
                self._missed.look()

    def _is_current(self, utterance_id: str) -> bool:
        return bool(self._stream_ids) and utterance_id.startswith(f"{self._stream_ids[-1]}-")

    async def _search_missed(self, closed: Closed) -> None:
        """Look for finals that were not received; after an interruption only once."""
        if self._missed is None or self._before is not None:
            return
        searching = asyncio.get_running_loop().time() + SEARCH_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(searching):
                while self._numbers.missing_of(closed.finals):
                    await self._missed.read()
                    if self._interrupted.is_set() or not self._numbers.missing_of(closed.finals):
                        break
                    await asyncio.sleep(_SEARCH_EVERY)
        if missing := self._numbers.missing_of(closed.finals):
            self._events.on_missing(missing)
