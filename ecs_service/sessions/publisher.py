"""Publishes an engine's results as partials and finals: ids, times, durable finals, broadcast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation
from speech.engines.base import Result
from transcripts.models import Language, Speaker, Utterance
from transcripts.protocol import Partial

#: A final that is not durable after so many seconds is shown as a partial meanwhile.
SHOW_SECONDS = 0.15


class FinalSink(Protocol):
    """Keeps finals until they are stored."""

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        """Keep `utterance` durably, then call `publish`: at once or later; raise if that fails."""


class Outbox(Protocol):
    """Keeps finals on this machine and sends them to the queue."""

    def add(self, utterance: Utterance) -> None:
        """Keep `utterance` durably; raise if that fails."""


class OutboxSink:
    """Keeps finals in the outbox alone, as for streams that cannot be resumed."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        """Keep `utterance` in the outbox and publish it."""
        self._outbox.add(utterance)
        publish()


class NullSink:
    """Drops finals: the `FinalSink` of a service that stores nothing."""

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        """Publish `utterance`, which is not kept."""
        del utterance
        publish()


class OnPublished(Protocol):
    """Takes what was published of a stream."""

    def __call__(self, frame: bytes, *, is_final: bool) -> None:
        """Take an encoded message that was broadcast to the conversation."""


class Publisher:
    """Publishes the results of one stream to its conversation.

    An utterance has one id from its first partial to its final. A final is durable in `sink`
    before it is broadcast. Each channel has at most one open utterance.
    """

    def __init__(
        self,
        conversation: Conversation,
        sink: FinalSink,
        on_published: OnPublished,
        *,
        stream_id: str,
        speaker: Speaker,
        language: Language,
        channels: int = 1,
        count: int = 0,
    ) -> None:
        """Make a publisher.

        Args:
            conversation: what is published to.
            sink: what keeps finals; it may be replaced at any time.
            on_published: takes each encoded message.
            stream_id: what the ids of utterances begin with.
            speaker: the name of who speaks.
            language: the language of results that do not say theirs.
            channels: how many channels are recognised separately.
            count: finals that the stream had before.
        """
        self._conversation = conversation
        self.sink = sink
        self._on_published = on_published
        self._stream_id = stream_id
        self._speaker = speaker
        self._language = language
        self._has_channels = channels > 1
        self._open: dict[int, Result] = {}
        #: Finals that are not durable yet, by the ids of their utterances.
        self._waiting: dict[str, Result] = {}
        #: The finals of the stream so far, which is the number of the last one.
        self.finals = count
        self._latest = [datetime.min.replace(tzinfo=UTC)] * channels

    def publish(self, result: Result, moment: datetime) -> None:
        """Publish one result, which was spoken from `moment` on.

        An empty final only retracts the partial before it. A final is published when it is durable.

        Whatever the sink raises for a final passes through; the final is then not broadcast.
        """
        channel = result.channel
        if not result.is_final:
            self._open[channel] = result
            self._publish_partial(result)
        elif not result.text:
            self._retract(channel)
        else:
            self._publish_final(result, moment)

    def _publish_final(self, result: Result, moment: datetime) -> None:
        channel = result.channel
        # Later than the final before it in its channel: the table sorts by this time.
        timestamp = self._latest[channel] = max(
            moment, self._latest[channel] + timedelta(milliseconds=1)
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
            number=self.finals + 1,
        )
        identity = utterance.utterance_id
        self._waiting[identity] = result
        try:
            self.sink.keep(utterance, lambda: self._broadcast(utterance))
        except BaseException:
            del self._waiting[identity]
            raise
        self.finals += 1
        self._open.pop(channel, None)
        if identity in self._waiting:
            asyncio.get_running_loop().call_later(SHOW_SECONDS, self._show_waiting, identity)

    def _broadcast(self, utterance: Utterance) -> None:
        self._waiting.pop(utterance.utterance_id, None)
        telemetry.finals.inc()
        frame = self._conversation.publish_final(utterance)
        if frame is not None:
            self._on_published(frame, is_final=True)

    def _show_waiting(self, identity: str) -> None:
        """Show a final that is not durable yet as a partial, whose words all stay."""
        result = self._waiting.get(identity)
        if result is not None:
            self._publish_partial(
                replace(result, is_final=False, stable_words=len(result.words) or None)
            )

    def retract_open(self) -> None:
        """Retract the partials that will not become final."""
        for channel in tuple(self._open):
            self._retract(channel)

    def retract_waiting(self) -> None:
        """Retract the finals that will not become durable here; another task says them again."""
        for result in self._waiting.values():
            self._publish_empty(result)
        self._waiting.clear()

    def _retract(self, channel: int) -> None:
        partial = self._open.pop(channel, None)
        if partial is not None and partial.text:
            self._publish_empty(partial)

    def _publish_empty(self, result: Result) -> None:
        self._publish_partial(
            Result(
                result.segment,
                is_final=False,
                text="",
                start=result.start,
                end=result.end,
                channel=result.channel,
            )
        )

    def _publish_partial(self, result: Result) -> None:
        frame = self._conversation.publish_partial(
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
        self._on_published(frame, is_final=False)

    def _channel(self, result: Result) -> int | None:
        return result.channel if self._has_channels else None

    def _utterance_id(self, result: Result) -> str:
        channel = f"{result.channel}-" if self._has_channels else ""
        return f"{self._stream_id}-{channel}{result.segment}"
