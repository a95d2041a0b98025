"""The nouns of a transcript: words and utterances.

Times are seconds from the start of the audio stream, on a timeline that stays
linear over the whole stream. In JSON every name is camelCase.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)
from pydantic.alias_generators import to_camel


def iso_milliseconds(moment: datetime) -> str:
    """Return `moment` as ISO 8601 in UTC with milliseconds, e.g. `2026-11-20T17:29:03.250Z`.

    Texts of this form sort in the order of time, which the table's sort key relies on.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: A moment that is written as ISO 8601, UTC, milliseconds.
Timestamp = Annotated[AwareDatetime, PlainSerializer(iso_milliseconds, return_type=str)]

ConversationId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"),
    Field(description="1 to 128 letters, digits and `._:@-`, a letter or digit first"),
]
UtteranceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Speaker = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,64}$"),
    Field(description="a display name of 1 to 64 printable characters"),
]
Language = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"),
    Field(description="a BCP 47 tag such as `en-US`"),
]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Base of all boundary data: immutable, camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, ser_json_inf_nan="null"
    )


class Word(Model):
    """One word with its place on the timeline."""

    word: str
    start_time: Seconds
    end_time: Seconds
    confidence: Annotated[float, Field(ge=0, le=1)]


class Utterance(Model):
    """A finished utterance: what a `final` promises, and what is stored.

    `timestamp` is the wall-clock moment at which the utterance began; together with
    `utterance_id` it makes the key, so storing an utterance twice is the same as once.
    """

    conversation_id: ConversationId
    utterance_id: UtteranceId
    timestamp: Timestamp
    speaker: Speaker
    language: Language
    start_time: Seconds
    end_time: Seconds
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    words: tuple[Word, ...] = ()

    @property
    def sort_key(self) -> str:
        """The table's sort key: `timestamp#utteranceId`."""
        return f"{iso_milliseconds(self.timestamp)}#{self.utterance_id}"
