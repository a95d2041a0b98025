"""Stream audio into a conversation: send frames, receive results, and end gracefully."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from client.errors import ClientError, ConnectionLost
from client.live.connection import Received
from client.live.pacing import Schedule
from speech.pcm import PcmFormat
from transcripts.protocol import Ack, Closed, Final

#: A service that consumes no audio for so long while the last finals are due has failed, seconds.
STALL_SECONDS = 30.0
#: Time for the last finals after an interruption, seconds.
INTERRUPTED_SECONDS = 5.0


@dataclass(slots=True)
class StreamProgress:
    """The progress of a stream. Times are seconds of audio."""

    sent: float = 0.0
    processed: float = 0.0
    #: Audio that was sent and not yet recognised at the last `ack`.
    lag: float = 0.0
    finals: int = 0
    words: int = 0
    #: Whether the service has recognised all audio.
    finished: bool = False
    #: Whether there is no connection at the moment.
    reconnecting: bool = False


class AudioConnection(Protocol):
    """One connection of a speaker; see `client.live.connection.Speaker`."""

    def received(self) -> AsyncIterator[Received]:
        """Yield the messages, up to `closed`."""

    async def send(self, pcm: bytes) -> None:
        """Send one frame of audio."""

    async def stop(self) -> None:
        """Announce the end of the audio."""


class AudioStream:
    """A source of audio that is sent over one connection.

    With `paced`, each frame is sent when its last sample would have been spoken; without, as fast
    as the service reads.
    """

    def __init__(
        self,
        speaker: AudioConnection,
        frames: AsyncGenerator[bytes, None],
        *,
        audio: PcmFormat,
        paced: bool,
    ) -> None:
        self.progress = StreamProgress()
        self._speaker = speaker
        self._frames = frames
        self._audio = audio
        self._paced = paced
        self._sending: asyncio.Task[None] | None = None
        self._interrupted = False

    async def run(self, on_message: Callable[[Received], None]) -> Closed:
        """Send all frames and `stop`, pass every message to `on_message`, return the last one.

        Its `reason` is `stopped`, unless the service ended the stream before the audio did.

        Raises:
            Refused: the service ended the stream and gave a reason.
            ConnectionLost: the connection ended, or the last words did not come.
            UnreadableAudio: the frames could not be read to their end; what was read is sent.
        """
        receiving = asyncio.create_task(self._receive(on_message))
        sending = self._sending = asyncio.create_task(self._send())
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            unreadable = None
            if not receiving.done():
                unreadable = None if sending.cancelled() else sending.exception()
                await self._finish(receiving)
            closed = receiving.result()
            if unreadable is not None:
                raise unreadable
            return closed
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    def interrupt(self) -> None:
        """End the audio here; what was sent is still recognised, within a few seconds."""
        self._interrupted = True
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        clock = asyncio.get_running_loop().time
        schedule = Schedule(clock(), self._audio)
        sent = 0
        async with contextlib.aclosing(self._frames) as frames:
            async for frame in frames:
                sent += len(frame)
                if self._paced and (delay := schedule.wait(sent, clock())):
                    await asyncio.sleep(delay)
                try:
                    await self._speaker.send(frame)
                except ConnectionLost:
                    return  # the receiving task learns why
                self.progress.sent = self._audio.seconds(sent)

    async def _receive(self, on_message: Callable[[Received], None]) -> Closed:
        progress = self.progress
        async for received in self._speaker.received():
            message = received.message
            if isinstance(message, Ack):
                progress.processed = message.processed
                progress.lag = max(0.0, progress.sent - message.processed)
            elif isinstance(message, Final):
                progress.finals += 1
                progress.words += len(message.text.split())
            elif isinstance(message, Closed):
                progress.processed = message.duration
                progress.lag = max(0.0, progress.sent - message.duration)
                progress.finished = message.reason == "stopped"
            on_message(received)
            if isinstance(message, Closed):
                return message
        raise ConnectionLost("the stream ended without `closed`")

    async def _finish(self, receiving: asyncio.Task[Closed]) -> None:
        """Send `stop` and wait for `closed` as long as the service makes progress.

        Raises:
            ConnectionLost: the service makes no progress.
        """
        patience = INTERRUPTED_SECONDS if self._interrupted else STALL_SECONDS
        stopping = asyncio.create_task(self._stop())
        try:
            while True:
                before = self.progress.processed
                await asyncio.wait({receiving}, timeout=patience)
                if receiving.done():
                    return
                if self._interrupted or self.progress.processed == before:
                    raise ConnectionLost(f"the last words did not come within {patience:g} s")
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _stop(self) -> None:
        with contextlib.suppress(ClientError):  # the receiving task learns why
            await self._speaker.stop()
