"""A speaker of silence, which the scripted engine turns into known words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from client.errors import ClientError
from client.live.connection import Received, Speaker
from client.live.recording import Pace
from client.live.recovery import Attempt
from client.live.resuming import ResumingStream
from speech.pcm import SAMPLE_RATE, PcmFormat
from transcripts.models import Utterance
from transcripts.protocol import TranscribeParameters

AUDIO = PcmFormat(SAMPLE_RATE, 1)
PIECES_PER_SECOND = 5


@dataclass
class DrillSpeaker:
    """One speaker. `retries` counts its reconnects; `lost` seconds should stay 0."""

    url: str
    conversation_id: str
    seconds: float
    retries: int = 0
    lost: float = 0.0
    new_streams: int = 0
    stream_ids: set[str] = field(default_factory=set)
    error: str | None = None

    async def run(self) -> None:
        """Speak at the speed of speech to the end, and wait until all of it is recognised."""
        parameters = TranscribeParameters(
            sample_rate=SAMPLE_RATE, conversation_id=self.conversation_id, resume=True
        )

        def connect(attempt: Attempt) -> Speaker:
            wanted = parameters.model_copy(update={"attempt": attempt.number})
            return Speaker(self.url, wanted, resume_token=attempt.token)

        stream = ResumingStream(connect, self._frames(), self, audio=AUDIO, pace=Pace.REAL_TIME)
        for _ in range(20):
            try:
                await stream.run()
            except ClientError as error:
                if stream.is_recording:
                    self.error = f"{type(error).__name__}: {error}"
                    return
                await asyncio.sleep(0.5)  # the first connection came at a bad moment
                stream = ResumingStream(
                    connect, self._frames(), self, audio=AUDIO, pace=Pace.REAL_TIME
                )
            else:
                return
        self.error = "it never got a connection"

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        for _ in range(round(self.seconds * PIECES_PER_SECOND)):
            yield bytes(AUDIO.bytes_per_second // PIECES_PER_SECOND)

    # --- events of the stream -------------------------------------------------------------------

    def on_message(self, received: Received) -> None:
        """Ignore it: viewers are asked, and the table."""

    def on_found(self, utterance: Utterance) -> None:
        """Ignore it, too."""

    def on_retry(self, error: ClientError, delay: float, kept: float) -> None:
        """Count a reconnect."""
        del error, delay, kept
        self.retries += 1

    def on_lost(self, seconds: float) -> None:
        """Add up what found no room."""
        self.lost += seconds

    def on_new_stream(self, seconds: float) -> None:
        """Count a stream that could not be resumed."""
        del seconds
        self.new_streams += 1

    def on_missing(self, finals: int) -> None:
        """Ignore it: the speaker's own screen is not looked at."""
