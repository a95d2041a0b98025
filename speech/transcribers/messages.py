"""The messages between a server and the process of its transcriber.

On a socket every message is a length (4 bytes, big endian) and a body, as between the streaming
engines and their workers (`speech.engines.blocking`); the body is JSON. JSON rather than pickle, so
that a process that is subverted by a recording can send wrong results, but not run code in the
server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.choice import TranscriberSpec
from transcripts.documents import FailureCode

# --- to the process --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The first message: the transcriber to load."""

    spec: TranscriberSpec
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribe:
    """Transcribe a file; one at a time."""

    job: int
    path: str
    options: TranscriptionOptions
    kind: Literal["transcribe"] = "transcribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel a job; without effect on one that is over."""

    job: int
    kind: Literal["cancel"] = "cancel"


# --- from the process ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The transcriber is ready."""

    engine: str
    model: str
    device: str
    pid: int
    light: bool = False
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoaded:
    """The transcriber cannot be loaded; no message follows."""

    message: str
    kind: Literal["not_loaded"] = "not_loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Progress: so many seconds of audio are done."""

    job: int
    done: float
    kind: Literal["working"] = "working"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The job is done."""

    job: int
    transcription: Transcription
    kind: Literal["done"] = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The job cannot be done, and the process can take another."""

    job: int
    error: Literal["bad_recording", "option_unavailable", "stopped"]
    message: str
    code: FailureCode | None = None
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job failed; no message follows unless the model is `fit`."""

    job: int
    #: Does not quote the recording.
    message: str
    fit: bool
    out_of_memory: bool = False
    kind: Literal["failed"] = "failed"


ToProcess = Load | Transcribe | Cancel
FromProcess = Loaded | NotLoaded | Working | Done | Refused | Failed

_BY_KIND = Field(discriminator="kind")
TO_PROCESS: Final[TypeAdapter[ToProcess]] = TypeAdapter(Annotated[ToProcess, _BY_KIND])
FROM_PROCESS: Final[TypeAdapter[FromProcess]] = TypeAdapter(Annotated[FromProcess, _BY_KIND])
