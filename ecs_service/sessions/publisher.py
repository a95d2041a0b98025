"""From what an engine understood to what everybody reads: numbering, promise, broadcast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation
from speech.engines.base import Result
from transcripts.models import Language, Speaker, Utterance
from transcripts.protocol import Partial


class FinalSink(Protocol):
    """Where finals are kept until they are stored."""

    def add(self, utterance: Utterance) -> None:
        """Keep `utterance` durably, or raise."""


class NullSink:
    """Stands for the outbox where nothing is stored."""

    def add(self, utterance: Utterance) -> None:
        """Let it go."""


class PublishedFrame(NamedTuple):
    """What everybody was told."""

    frame: bytes
    is_final: bool


class Publisher:
    """Publishes the results of one stream into its conversation.

    An utterance has one id from its first partial to its final. A final is promised before
    anybody sees it. Of each channel one utterance may be open at a time.
    """

    def __init__(
        self,
        conversation: Conversation,
        outbox: FinalSink,
        *,
        stream_id: str,
        speaker: Speaker,
        language: Language,
        channels: int = 1,
    ) -> None:
        """Make a publisher; `channels` is how many are recognised by themselves."""
        self._conversation = conversation
        self._outbox = outbox
        self._stream_id = stream_id
        self._speaker = speaker
        self._language = language
        self._has_channels = channels > 1
        self._open: dict[int, Result] = {}
        self.finals = 0
        self._latest = [datetime.min.replace(tzinfo=UTC)] * channels

    def publish(self, result: Result, began: datetime) -> PublishedFrame | None:
        """Publish one result of a stream whose audio began at `began`.

        Returns what the speaker's own socket is told, or `None` if there is nothing to tell. An
        empty final only takes the guess back.
        """
        channel = result.channel
        if not result.is_final:
            self._open[channel] = result
            return PublishedFrame(self._partial(result), is_final=False)
        if not result.text:
            return self._retract(channel)
        # Never earlier than the channel's one before: the table sorts by it.
        timestamp = self._latest[channel] = max(
            began + timedelta(seconds=result.start),
            self._latest[channel] + timedelta(milliseconds=1),
        )
        utterance = Utterance(
            conversation_id=self._conversation.id,
            utterance_id=self._utterance_id(result),
            timestamp=timestamp,
            speaker=self._speaker,
            speaker_label=result.speaker_label,
            channel=self._channel(result),
            language=result.language or self._language,
            start_time=result.start,
            end_time=result.end,
            text=result.text,
            words=result.words,
        )
        self._outbox.add(utterance)
        self._open.pop(channel, None)
        self.finals += 1
        telemetry.finals.inc()
        frame = self._conversation.publish_final(utterance)
        return None if frame is None else PublishedFrame(frame, is_final=True)

    def retract_open(self) -> list[PublishedFrame]:
        """Take back the guesses that will not become final; return what says so."""
        told = [self._retract(channel) for channel in tuple(self._open)]
        return [one for one in told if one is not None]

    def _retract(self, channel: int) -> PublishedFrame | None:
        guess = self._open.pop(channel, None)
        if guess is None or not guess.text:
            return None
        nothing = Result(
            guess.segment,
            is_final=False,
            text="",
            start=guess.start,
            end=guess.end,
            channel=channel,
        )
        return PublishedFrame(self._partial(nothing), is_final=False)

    def _partial(self, result: Result) -> bytes:
        return self._conversation.publish_partial(
            lambda seq: Partial(
                conversation_id=self._conversation.id,
                utterance_id=self._utterance_id(result),
                speaker=self._speaker,
                speaker_label=result.speaker_label,
                channel=self._channel(result),
                language=result.language or self._language,
                start_time=result.start,
                end_time=result.end,
                text=result.text,
                words=result.words,
                stable_words=result.stable_words,
                seq=seq,
            )
        )

    def _channel(self, result: Result) -> int | None:
        return result.channel if self._has_channels else None

    def _utterance_id(self, result: Result) -> str:
        channel = f"{result.channel}-" if self._has_channels else ""
        return f"{self._stream_id}-{channel}{result.segment}"
