"""The nouns of a transcript: words and utterances.

Times are seconds from the start of the audio stream, on a timeline that stays
linear over the whole stream. In JSON every name is camelCase.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

#: A nanosecond; what is less counts as 0.
LEAST_SECONDS = 1e-9
#: 31 years; no stream lasts longer.
MOST_SECONDS = 1e9


def iso_milliseconds(moment: datetime) -> str:
    """Return `moment` as ISO 8601 in UTC with milliseconds, e.g. `2026-11-20T17:29:03.250Z`.

    Texts of this form sort in the order of time, which the table's sort key relies on.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC the year is not one of 1 to 9999") from None


def _storable(seconds: float) -> float:
    if seconds > MOST_SECONDS:
        raise ValueError("more than 31 years")
    return seconds if seconds >= LEAST_SECONDS else 0.0


#: A moment in UTC; its text has a time zone.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
#: A moment that is written as ISO 8601, UTC, milliseconds.
Timestamp = Annotated[Moment, PlainSerializer(iso_milliseconds, return_type=str)]


@dataclass(frozen=True, slots=True)
class InWords:
    """Replaces pydantic's message for a malformed text, which quotes the pattern, by words."""

    must_be: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the schema of the text with another message."""
        return core_schema.custom_error_schema(
            handler(source), "malformed", custom_error_message=f"must be {self.must_be}"
        )


def printable(most: int) -> StringConstraints:
    """Return the constraints of a line that people read: 1 to `most` characters.

    It has no control characters, none that turn the writing's direction, and no noncharacters,
    which a queue refuses.
    """
    return StringConstraints(
        strip_whitespace=True,
        pattern=rf"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]{{1,{most}}}$",
    )


ConversationId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"),
    InWords("1 to 128 letters, digits and `._:@-`, a letter or digit first"),
    Field(description="1 to 128 letters, digits and `._:@-`, a letter or digit first"),
]
UtteranceId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$"),
    InWords("1 to 64 letters, digits and `-`"),
]
Speaker = Annotated[
    str,
    printable(64),
    InWords("a display name of 1 to 64 printable characters"),
    Field(description="a display name of 1 to 64 printable characters"),
]
Language = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"),
    InWords("a BCP 47 tag such as `en-US`"),
    Field(description="a BCP 47 tag such as `en-US`"),
]
SpeakerLabel = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$"),
    InWords("1 to 32 letters, digits, `_` and `-`"),
    Field(description="label of one of several people at a microphone (diarisation)"),
]
Channel = Annotated[
    int, Field(ge=0, le=1, description="which of two channels that are recognised separately")
]
FinalNumber = Annotated[
    int, Field(ge=1, lt=2**31, description="of the finals of one stream, without gaps: 1, 2, 3")
]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: Seconds as DynamoDB takes them: its numbers lie between 1e-130 and 1e126.
StorableSeconds = Annotated[Seconds, AfterValidator(_storable)]


class Model(BaseModel):
    """Base of all boundary data: immutable, camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        ser_json_inf_nan="null",
        hide_input_in_errors=True,  # else texts get into stack traces and logs
    )


class Word(Model):
    """One word with its place on the timeline."""

    word: str
    start_time: Seconds
    end_time: Seconds
    confidence: Annotated[float, Field(ge=0, le=1)]


class Utterance(Model):
    """A finished utterance: the content of a `final`, and of the stored item.

    `timestamp` is the wall-clock moment at which the utterance began; together with
    `utterance_id` it makes the key, so storing an utterance twice is the same as once.
    """

    conversation_id: ConversationId
    utterance_id: UtteranceId
    timestamp: Timestamp
    speaker: Speaker
    speaker_label: SpeakerLabel | None = None
    channel: Channel | None = None
    language: Language
    start_time: StorableSeconds
    end_time: StorableSeconds
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    #: At most so many that the longest utterance fits into one message of a queue, 256 KiB.
    words: Annotated[tuple[Word, ...], Field(max_length=1_500)] = ()
    #: Utterances that were stored by earlier versions have none.
    number: FinalNumber | None = None

    @property
    def stream_id(self) -> str:
        """The id of its stream, with which the utterance's id begins."""
        return self.utterance_id.partition("-")[0]

    @property
    def sort_key(self) -> str:
        """The table's sort key: `timestamp#utteranceId`."""
        return f"{iso_milliseconds(self.timestamp)}#{self.utterance_id}"
