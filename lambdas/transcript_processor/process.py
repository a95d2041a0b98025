"""Stores the utterance of one message of the queue in the table.

ValueError
└── PoisonMessage    a message is not an utterance; it ends in the dead-letter queue
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from pydantic import ValidationError

from foundation.invalid import summarise
from transcripts.models import Utterance


class PoisonMessage(ValueError):
    """A message is not an utterance. The message names the wrong fields, but no values."""


class PutResult(StrEnum):
    """The result of storing an utterance; both are a success."""

    STORED = "stored"
    DUPLICATE = "duplicate"


class UtteranceStore(Protocol):
    """Where utterances are kept; `transcripts.conversations.ConversationTable` is one."""

    def put(self, utterance: Utterance) -> bool:
        """Store `utterance` and return True, or return False when it was stored before."""


def parse(body: str) -> Utterance:
    """Return the utterance of a message body, which is its JSON with camelCase names.

    Raises:
        PoisonMessage: the body is not JSON or not an utterance.
    """
    try:
        return Utterance.model_validate_json(body)
    except ValidationError as error:
        # Without the cause, for pydantic quotes the input and a log keeps the whole chain.
        raise PoisonMessage(summarise(error, whole="body")) from None


def process(body: str, store: UtteranceStore) -> tuple[Utterance, PutResult]:
    """Store the utterance of a message body, once however often the message comes.

    Raises:
        PoisonMessage: the body is not an utterance.
        Exception: what `store` raises; the message should be tried again.
    """
    utterance = parse(body)
    return utterance, PutResult.STORED if store.put(utterance) else PutResult.DUPLICATE
