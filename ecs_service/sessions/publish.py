"""From what an engine understood to what everybody reads: numbering, promise, broadcast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation
from speech.engines.base import Result
from transcripts.models import Language, Speaker, Utterance
from transcripts.protocol import Partial


class Promises(Protocol):
    """Where finals are kept until they are stored."""

    def add(self, utterance: Utterance) -> None:
        """Keep `utterance` durably, or raise."""


class NoPromises:
    """Stands for the outbox where nothing is stored."""

    def add(self, utterance: Utterance) -> None:
        """Let it go."""


class Publisher:
    """Publishes the results of one stream into its conversation.

    An utterance has one id from its first partial to its final. A final is promised before
    anybody sees it.
    """

    def __init__(
        self,
        conversation: Conversation,
        outbox: Promises,
        *,
        stream_id: str,
        speaker: Speaker,
        language: Language,
    ) -> None:
        self._conversation = conversation
        self._outbox = outbox
        self._stream_id = stream_id
        self._speaker = speaker
        self._language = language
        self._open: Result | None = None
        self.finals = 0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def publish(self, result: Result, began: datetime) -> bytes | None:
        """Publish one result of a stream whose audio began at `began`.

        Returns the frame for the speaker's own socket, or `None` if there is nothing to tell.
        """
        if not result.is_final:
            self._open = result
            return self._partial(result)
        if not result.text:
            return self.retract()
        # Never earlier than the one before: the table sorts by it.
        self._latest = max(
            began + timedelta(seconds=result.start), self._latest + timedelta(milliseconds=1)
        )
        utterance = Utterance(
            conversation_id=self._conversation.id,
            utterance_id=self._utterance_id(result),
            timestamp=self._latest,
            speaker=result.speaker or self._speaker,
            language=result.language or self._language,
            start_time=result.start,
            end_time=result.end,
            text=result.text,
            words=result.words,
        )
        self._outbox.add(utterance)
        self._open = None
        self.finals += 1
        telemetry.finals.inc()
        return self._conversation.tell_final(utterance)

    def retract(self) -> bytes | None:
        """Take back the guess that will not become final, if there is one."""
        guess, self._open = self._open, None
        if guess is None or not guess.text:
            return None
        return self._partial(
            Result(guess.segment, is_final=False, text="", start=guess.start, end=guess.end)
        )

    def _partial(self, result: Result) -> bytes:
        return self._conversation.tell(
            lambda seq: Partial(
                conversation_id=self._conversation.id,
                utterance_id=self._utterance_id(result),
                speaker=result.speaker or self._speaker,
                language=result.language or self._language,
                start_time=result.start,
                end_time=result.end,
                text=result.text,
                words=result.words,
                seq=seq,
            )
        )

    def _utterance_id(self, result: Result) -> str:
        return f"{self._stream_id}-{result.segment}"
