"""The live protocol, version 1: every message, parameter, error and close code.

This module is the only definition. `docs/protocol.md` and the page's TypeScript types
(`frontend/src/protocol.ts`) are rendered from it (`make protocol`).

A speaker opens `/api/stt/transcribe`, sends binary PCM frames and finally `stop`. A viewer opens
`/api/stt/connect` and only receives. Servers send JSON text frames that have a `type`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, Json, StringConstraints, TypeAdapter

from transcripts.models import (
    Channel,
    ConversationId,
    FinalNumber,
    InWords,
    Language,
    Model,
    Seconds,
    Speaker,
    SpeakerLabel,
    Timestamp,
    Utterance,
    UtteranceId,
    Word,
)

#: Largest binary or text frame a client may send, in bytes.
MAX_FRAME_BYTES = 64 * 1024
#: Longest audio that one binary frame may hold, in seconds.
MAX_FRAME_SECONDS = 1.0
#: The request that opens a connection must be complete within this time, in seconds.
REQUEST_SECONDS = 5.0
#: A frame of fewer bytes is small: less than 10 ms of speech at 16 kHz.
SMALL_FRAME_BYTES = 320
#: A client that keeps sending more small frames than this is read more slowly. The smallest frames
#: of honest clients are a browser's audio chunks, 128 samples: 375 a second at 48 kHz.
SMALL_FRAMES_PER_SECOND = 400
#: The same for pings and unsolicited pongs. Browsers send none, libraries one every few seconds.
CONTROL_FRAMES_PER_SECOND = 20
#: A speaker who sends no audio for this long is disconnected, in seconds.
IDLE_SECONDS = 15.0
#: A viewer gets at least one message within this time, in seconds.
HEARTBEAT_SECONDS = 10.0
#: The same for a viewer who asks for it with `heartbeat=1`; and how often a speaker with `resume=1`
#: gets an `ack`, with or without audio, in seconds.
LIVE_SECONDS = 1.0
#: A line on which nothing came for this long is dead, where something comes every `LIVE_SECONDS`.
DEAD_SECONDS = 3.0
#: How long a speaker keeps audio that is not durable, in seconds.
KEEP_SECONDS = 600.0
#: How long after its last connection a stream can be resumed, in seconds.
RESUME_SECONDS = 600.0
#: How far back a snapshot reaches, in seconds.
SNAPSHOT_SECONDS = 120.0
#: The most utterances in a snapshot; if there are more, it has the newest.
SNAPSHOT_UTTERANCES = 200

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 96_000

#: The protocol's name as a WebSocket subprotocol; browsers send it beside their ticket.
SUBPROTOCOL = "cloudscribe.v1"
#: Precedes a ticket that is sent as a WebSocket subprotocol.
TICKET_SUBPROTOCOL = "ticket."
#: Precedes a resume token that is sent as a WebSocket subprotocol.
RESUME_SUBPROTOCOL = "resume."

#: What a viewer has received; opaque to it, at most 1 KB.
Position = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,1024}$"),
    InWords("a `position` that this service has sent"),
]
Samples = Annotated[int, Field(ge=0, lt=2**53)]
SampleRate = Annotated[int, Field(ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE)]
Channels = Annotated[int, Field(ge=1, le=2)]


# --- errors -----------------------------------------------------------------------------


class ErrorCode(StrEnum):
    """Why a stream or a viewer was refused or ended."""

    INVALID_PARAMETER = "invalid_parameter"
    TICKET_USED = "ticket_used"
    ACCESS_REVOKED = "access_revoked"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    INVALID_OPTION = "invalid_option"
    INVALID_AUDIO = "invalid_audio"
    FRAME_TOO_LARGE = "frame_too_large"
    INVALID_MESSAGE = "invalid_message"
    UNEXPECTED_MESSAGE = "unexpected_message"
    IDLE_TIMEOUT = "idle_timeout"
    SLOW_CONSUMER = "slow_consumer"
    AT_CAPACITY = "at_capacity"
    TOO_MANY_VIEWERS = "too_many_viewers"
    RATE_LIMITED = "rate_limited"
    ACCESS_UNAVAILABLE = "access_unavailable"
    DRAINING = "draining"
    MOVED = "moved"
    RESUME_REFUSED = "resume_refused"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    ENGINE_FAILED = "engine_failed"
    ENGINE_REFUSED = "engine_refused"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What an error code means on the wire."""

    close_code: int
    retryable: bool
    meaning: str


ERRORS: dict[ErrorCode, ErrorKind] = {
    ErrorCode.INVALID_PARAMETER: ErrorKind(
        4400, retryable=False, meaning="A query parameter is missing, malformed or out of range."
    ),
    ErrorCode.TICKET_USED: ErrorKind(
        4401,
        retryable=True,
        meaning="The ticket was used before or is too old; a new one opens a socket.",
    ),
    ErrorCode.ACCESS_REVOKED: ErrorKind(
        4403,
        retryable=False,
        meaning="The caller has no right to this conversation, or has lost it.",
    ),
    ErrorCode.UNSUPPORTED_LANGUAGE: ErrorKind(
        4406,
        retryable=False,
        meaning="The service does not recognise this language, or does not translate into it.",
    ),
    ErrorCode.INVALID_OPTION: ErrorKind(
        4407,
        retryable=False,
        meaning="The engine does not have one of the `options`, or the operator does not allow it.",
    ),
    ErrorCode.INVALID_AUDIO: ErrorKind(
        4415,
        retryable=False,
        meaning="A binary frame is empty or is not a whole number of s16le samples.",
    ),
    ErrorCode.FRAME_TOO_LARGE: ErrorKind(
        4413,
        retryable=False,
        meaning="A frame holds more than 64 KiB or more than one second of audio.",
    ),
    ErrorCode.INVALID_MESSAGE: ErrorKind(
        4422,
        retryable=False,
        meaning="A text frame is not a JSON control message that the protocol knows.",
    ),
    ErrorCode.UNEXPECTED_MESSAGE: ErrorKind(
        4409, retryable=False, meaning="The message is known, but not allowed at this point."
    ),
    ErrorCode.IDLE_TIMEOUT: ErrorKind(
        4408, retryable=True, meaning="No audio came for 15 seconds."
    ),
    ErrorCode.SLOW_CONSUMER: ErrorKind(
        4428,
        retryable=True,
        meaning="The client did not read what was sent to it; it may connect again.",
    ),
    ErrorCode.AT_CAPACITY: ErrorKind(
        4429,
        retryable=True,
        meaning="Every recognition slot is taken; `retryAfter` says when to try again.",
    ),
    ErrorCode.TOO_MANY_VIEWERS: ErrorKind(
        4430,
        retryable=True,
        meaning="The service or the conversation has no place for another viewer; `retryAfter` "
        "says when to try again.",
    ),
    ErrorCode.RATE_LIMITED: ErrorKind(
        4431,
        retryable=True,
        meaning="This address connects, or is refused, too often; `retryAfter` says when to try "
        "again.",
    ),
    ErrorCode.ACCESS_UNAVAILABLE: ErrorKind(
        4504,
        retryable=True,
        meaning="Rights cannot be read at present; `retryAfter` says when to try again.",
    ),
    ErrorCode.DRAINING: ErrorKind(
        4503, retryable=True, meaning="The service is shutting down; another one takes new streams."
    ),
    ErrorCode.MOVED: ErrorKind(
        4410,
        retryable=True,
        meaning="The stream goes on on a newer connection. Whoever gets this on the newest one "
        "resumes once more.",
    ),
    ErrorCode.RESUME_REFUSED: ErrorKind(
        4404,
        retryable=False,
        meaning="There is no such stream to resume: the token is unknown, the stream is over, or "
        "it belongs to another conversation.",
    ),
    ErrorCode.LEDGER_UNAVAILABLE: ErrorKind(
        4505,
        retryable=True,
        meaning="Streams can neither begin nor resume at present; `retryAfter` says when to try "
        "again.",
    ),
    ErrorCode.ENGINE_FAILED: ErrorKind(
        4502, retryable=True, meaning="The recognition engine failed and could not be recovered."
    ),
    ErrorCode.ENGINE_REFUSED: ErrorKind(
        4501,
        retryable=False,
        meaning="The recognition engine refuses the stream, and would refuse it again.",
    ),
    ErrorCode.INTERNAL: ErrorKind(
        4500, retryable=True, meaning="The service has a defect; it was logged."
    ),
}

CLOSE_NORMAL = 1000
#: The server shuts down; finals are safe. Follows `closed`, or ends a viewer's connection.
CLOSE_GOING_AWAY = 1001
#: A client broke RFC 6455: malformed frames, frames without a mask or in a wrong order.
CLOSE_PROTOCOL_ERROR = 1002
#: A text was not UTF-8 (RFC 6455).
CLOSE_INVALID_TEXT = 1007
#: A frame beyond twice `MAX_FRAME_BYTES` is cut off by the transport with this code (RFC 6455).
CLOSE_MESSAGE_TOO_BIG = 1009


# --- parameters of a connection -----------------------------------------------------------


class Parameters(Model):
    """Query parameters; unknown ones are ignored, so that new clients work with old servers."""

    model_config = ConfigDict(extra="ignore")


class TranscribeParameters(Parameters):
    """Query parameters of `WS /api/stt/transcribe`."""

    sample_rate: Annotated[SampleRate, Field(description="samples per second and channel, Hz")]
    channels: Annotated[Channels, Field(description="interleaved channels")] = 1
    channel_mode: Annotated[
        Literal["mixed", "separate"],
        Field(description="`separate` recognises each of two channels by itself"),
    ] = "mixed"
    conversation_id: Annotated[
        ConversationId | None, Field(description="the server invents one if it is missing")
    ] = None
    speaker: Speaker = "Speaker"
    language: Language = "en-US"
    options: Annotated[
        Json[Annotated[dict[str, str], Field(max_length=32)]],
        Field(description="options of the engine, by its own names: a JSON object"),
    ] = {}  # noqa: RUF012 - pydantic copies it
    resume: Annotated[
        bool,
        Field(
            description="`1`: the client keeps its audio until it is durable, and resumes; it "
            "sends `continue` after `ready`"
        ),
    ] = False
    attempt: Annotated[
        int,
        Field(ge=0, lt=2**31, description="with a resume token: larger with each connection"),
    ] = 0


class ConnectParameters(Parameters):
    """Query parameters of `WS /api/stt/connect`."""

    conversation_id: ConversationId
    mode: Annotated[
        Literal["live", "snapshot"],
        Field(description="`snapshot`: only a snapshot, every ten seconds"),
    ] = "live"
    language: Annotated[
        Language | None,
        Field(
            description="the language to translate into; adds `translation` messages; "
            "refused with `mode=snapshot` (`invalid_parameter`)"
        ),
    ] = None
    since: Annotated[
        Position | None, Field(description="the last `position` received: go on from there")
    ] = None
    heartbeat: Annotated[
        bool, Field(description="`1`: a message at least every second, so that a dead line shows")
    ] = False


# --- client to server -----------------------------------------------------------------------


class AudioFormat(Model):
    """The format of the binary frames; overrides the query's `sampleRate` and `channels`."""

    encoding: Literal["pcm_s16le"] = "pcm_s16le"
    sample_rate: SampleRate
    channels: Channels = 1


class ClientMessage(Model):
    """Base of control messages; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class Start(ClientMessage):
    """Settings of the stream; optional, at most once, before the first audio."""

    type: Literal["start"] = "start"
    format: AudioFormat | None = None
    interim_results: Annotated[
        bool, Field(description="`false`: this socket gets no partials; viewers still get them")
    ] = True
    traceparent: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"),
        InWords("a `traceparent` of W3C Trace Context"),
    ] = None


class Continue(ClientMessage):
    """The first message after `ready` with `resume=1`: which sample the next audio begins with.

    Samples are moments of all channels, counted from the first one of the stream.
    """

    type: Literal["continue"] = "continue"
    sample: Annotated[
        Samples,
        Field(description="`resumeFrom`, or later if the audio from there is lost"),
    ]
    age: Annotated[
        Seconds, Field(le=KEEP_SECONDS, description="how long ago that sample was recorded")
    ] = 0.0


class Pause(ClientMessage):
    """Nothing was recorded for some time, as when a laptop slept; with `resume=1` only."""

    type: Literal["pause"] = "pause"
    sample: Annotated[Samples, Field(description="the first sample after the pause")]
    seconds: Annotated[
        Seconds, Field(le=86_400, description="its length by the client's steady clock")
    ]


class Stop(ClientMessage):
    """Ends the audio. The last finals follow, then `closed`, then a normal close."""

    type: Literal["stop"] = "stop"


# --- server to client -------------------------------------------------------------------------


class Ready(Model):
    """The stream is admitted, and audio may be sent. Viewers do not get this message."""

    type: Literal["ready"] = "ready"
    conversation_id: ConversationId
    stream_id: str
    engine: str
    language: Language
    sample_rate: int
    channels: int
    max_seconds: Annotated[
        Seconds | None, Field(description="the server ends the stream after so much audio")
    ] = None
    resume_token: Annotated[
        str | None,
        Field(description="with `resume=1`: resumes the stream, as the subprotocol `resume.TOKEN`"),
    ] = None
    resume_from: Annotated[
        Samples | None,
        Field(description="with `resume=1`: the first sample that the server needs"),
    ] = None


class Recognised(Model):
    """The fields that partials and finals have in common."""

    conversation_id: ConversationId
    utterance_id: UtteranceId
    speaker: Speaker
    speaker_label: SpeakerLabel | None = None
    channel: Channel | None = None
    language: Language
    start_time: Seconds
    end_time: Seconds
    text: str
    words: tuple[Word, ...] = ()
    seq: Annotated[int, Field(ge=1, description="grows by one per conversation and server")]


class Partial(Recognised):
    """The text of an utterance so far; the next message of the same `utteranceId` replaces it.

    An empty `text` retracts the partial: there will be no final.
    """

    type: Literal["partial"] = "partial"
    stable_words: Annotated[
        int | None,
        Field(
            ge=0, description="how many words, from the first, the engine expects to stay; if known"
        ),
    ] = None


class Final(Recognised):
    """Ends its utterance and never changes. It is durable, and will be stored once."""

    type: Literal["final"] = "final"
    timestamp: Annotated[Timestamp, Field(description="wall-clock start of the utterance")]
    number: FinalNumber | None = None
    position: Annotated[
        Position | None, Field(description="what a viewer has received with this message")
    ] = None


class Ack(Model):
    """How much audio the server has processed; about once a second, and at the end.

    All fields are seconds of audio since the start of the stream.
    """

    type: Literal["ack"] = "ack"
    received: Annotated[Seconds, Field(description="audio read from the socket")]
    processed: Annotated[Seconds, Field(description="audio the engine has consumed")]
    lag: Annotated[
        Seconds,
        Field(description="`received - processed`; near the limit the server stops reading"),
    ]
    durable: Annotated[
        Samples | None,
        Field(description="with `resume=1`: samples that the client need not keep any more"),
    ] = None


class Error(Model):
    """Why the connection is closed; the close follows at once."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: Annotated[str, Field(description="for people: what is wrong and what to do")]
    retryable: bool
    retry_after: Annotated[
        Seconds | None, Field(description="connect again after so many seconds")
    ] = None


class Closed(Model):
    """The stream has ended, and all its results were sent."""

    type: Literal["closed"] = "closed"
    reason: Literal["stopped", "max_duration", "draining"]
    duration: Annotated[Seconds, Field(description="audio received")]
    finals: Annotated[int, Field(ge=0, description="utterances that became final")]


class Snapshot(Model):
    """The finals of the last two minutes, oldest first, at most the newest 200.

    With `since` it has the finals that the viewer lacks, all of them, in pieces of at most 200.
    Later messages have a larger `seq`.
    """

    type: Literal["snapshot"] = "snapshot"
    conversation_id: ConversationId
    utterances: tuple[Utterance, ...]
    complete: Annotated[
        bool, Field(description="`false`: the table did not answer; only this server's finals")
    ] = True
    seq: Annotated[int, Field(ge=0, description="`seq` of the newest message in it")]
    position: Position | None = None
    more: Annotated[bool, Field(description="another piece follows")] = False
    gap: Annotated[
        bool,
        Field(description="`since` was too long ago: these are the last two minutes instead"),
    ] = False


class Heartbeat(Model):
    """Shows that the connection is alive; sent every ten seconds, every second if asked for."""

    type: Literal["heartbeat"] = "heartbeat"
    conversation_id: ConversationId
    seq: Annotated[int, Field(ge=0, description="`seq` of the newest message")]
    position: Position | None = None


class Translation(Model):
    """A partial or a final in the viewer's language; it may come late, or never.

    The next one of the same `utteranceId` replaces it, unless it `isFinal`. A retracted partial
    retracts its translations, too.
    """

    type: Literal["translation"] = "translation"
    conversation_id: ConversationId
    utterance_id: UtteranceId
    source_language: Language
    language: Annotated[Language, Field(description="the language of `text`")]
    text: str
    is_final: Annotated[
        bool, Field(description="whether it translates a final; nothing replaces it then")
    ]
    seq: Annotated[
        int, Field(ge=0, description="`seq` of the message that it translates, or of the snapshot")
    ]


class TranslationStatus(Model):
    """Whether translations into the viewer's language work; sent when that changes."""

    type: Literal["translation_status"] = "translation_status"
    conversation_id: ConversationId
    language: Annotated[Language, Field(description="the target language")]
    state: Annotated[
        Literal["ok", "failing"],
        Field(description="`failing`: some will be missing; originals are not affected"),
    ]


#: The control messages of a speaker, and the messages of a server.
FromClient: TypeAlias = Start | Continue | Pause | Stop
FromServer: TypeAlias = (
    Ready
    | Partial
    | Final
    | Ack
    | Error
    | Closed
    | Snapshot
    | Heartbeat
    | Translation
    | TranslationStatus
)

control_message: TypeAdapter[FromClient] = TypeAdapter(
    Annotated[FromClient, Field(discriminator="type")]
)
server_message: TypeAdapter[FromServer] = TypeAdapter(
    Annotated[FromServer, Field(discriminator="type")]
)


def encode(message: Model) -> bytes:
    """Return `message` as the UTF-8 JSON of one text frame."""
    return message.__pydantic_serializer__.to_json(message, by_alias=True, exclude_none=True)


def error(code: ErrorCode, message: str, *, retry_after: float | None = None) -> Error:
    """Return the error message of `code` with the retry advice that the code implies."""
    return Error(
        code=code, message=message, retryable=ERRORS[code].retryable, retry_after=retry_after
    )
