"""Publishes an engine's results as partials and finals: ids, times, durable finals, broadcast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation
from speech.engines.base import Result
from transcripts.models import Language, Speaker, Utterance
from transcripts.protocol import Partial


class FinalSink(Protocol):
    """Keeps finals until they are stored: the outbox."""

    def add(self, utterance: Utterance) -> None:
        """Keep `utterance` durably; raise if that fails."""


class NullSink:
    """Drops finals: the `FinalSink` of a service that stores nothing."""

    def add(self, utterance: Utterance) -> None:
        """Drop `utterance`."""


class PublishedFrame(NamedTuple):
    """An encoded message that was broadcast to the conversation."""

    frame: bytes
    is_final: bool


class Publisher:
    """Publishes the results of one stream to its conversation.

    An utterance has one id from its first partial to its final. A final is durable in `outbox`
    before it is broadcast. Each channel has at most one open utterance.
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
        """Make a publisher; `channels` is how many channels are recognised separately."""
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

        Returns the frame for the speaker's own socket, or None if nothing was published. An empty
        final only retracts the partial before it.

        Whatever the outbox raises for a final passes through; the final is then not broadcast.
        """
        channel = result.channel
        if not result.is_final:
            self._open[channel] = result
            return PublishedFrame(self._publish_partial(result), is_final=False)
        if not result.text:
            return self._retract(channel)
        # Later than the final before it in its channel: the table sorts by this time.
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
        """Retract the partials that will not become final; return the frames that say so."""
        frames = [self._retract(channel) for channel in tuple(self._open)]
        return [frame for frame in frames if frame is not None]

    def _retract(self, channel: int) -> PublishedFrame | None:
        partial = self._open.pop(channel, None)
        if partial is None or not partial.text:
            return None
        empty = Result(
            partial.segment,
            is_final=False,
            text="",
            start=partial.start,
            end=partial.end,
            channel=channel,
        )
        return PublishedFrame(self._publish_partial(empty), is_final=False)

    def _publish_partial(self, result: Result) -> bytes:
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
