"""The errors of the client, and their exit codes.

    ClientError
    +-- UsageError          2  a parameter that no service would take
    +-- UnreadableAudio     3  the file or the microphone gives no audio
    +-- NoConnection        4  nothing answers at the URL, or with another protocol
    |   +-- NoStorage       4  the same for the bucket or the table in AWS
    +-- Refused             5  the service refused, and gave a reason
    +-- EndedByService      5  the service ended the stream before the audio did
    +-- AccessRefused       5  AWS denies access to the bucket or table, or there is none
    +-- NotSignedIn         5  the site has accounts, and nobody is signed in there
    +-- AlreadyThere        5  another recording has that key in the bucket
    +-- ConnectionLost      6  the stream broke off before `closed`, and could not be resumed
    |   +-- GaveUp          6  there was no connection to resume it for ten minutes
    +-- OutputFailed        7  the output cannot be written
    |   +-- FileFailed      7  the same for a file instead of stdout
    +-- NotYet              8  there is no transcript yet
    +-- NoTranscript        9  there will be none; the message says why
    +-- NoSuchRecording    10  the bucket has no recording of that name
    +-- NoSuchConversation 10  the table has no utterance of it
    +-- NoSuchVocabulary   10  Amazon Transcribe has none of that name

0 is success, 130 an interruption by the user (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transcripts.protocol import ERRORS, ErrorCode


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    OK = 0
    USAGE = 2
    UNREADABLE = 3
    NO_CONNECTION = 4
    REFUSED = 5
    CONNECTION_LOST = 6
    OUTPUT_FAILED = 7
    NOT_YET = 8
    NO_TRANSCRIPT = 9
    NO_SUCH_RECORDING = 10
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """The meaning of the code, as one line."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "success",
    ExitCode.USAGE: "invalid arguments",
    ExitCode.UNREADABLE: "the file or the microphone gives no audio",
    ExitCode.NO_CONNECTION: "the service, the bucket or the table cannot be reached",
    ExitCode.REFUSED: "the service or AWS refused all or part of the request",
    ExitCode.CONNECTION_LOST: "the connection was lost before the last words",
    ExitCode.OUTPUT_FAILED: "the output cannot be written",
    ExitCode.NOT_YET: "there is no transcript yet, or a vocabulary is not ready yet",
    ExitCode.NO_TRANSCRIPT: "the recording or vocabulary cannot be used",
    ExitCode.NO_SUCH_RECORDING: "no such recording, conversation or vocabulary is stored",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM, or nobody reads the output)",
}


class ClientError(Exception):
    """Base of all errors of the client. Each argument is a line of the message."""

    exit_code: ClassVar[ExitCode]

    @property
    def lines(self) -> tuple[str, ...]:
        """The message in lines, as they were given; a line may still hold a foreign newline."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UsageError(ClientError):
    """A URL or a parameter that no service would take."""

    exit_code = ExitCode.USAGE


class UnreadableAudio(ClientError):
    """The file cannot be read or decoded, or there is no microphone."""

    exit_code = ExitCode.UNREADABLE


class NoConnection(ClientError):
    """Nothing answers at the URL, or something with another protocol."""

    exit_code = ExitCode.NO_CONNECTION


class NoStorage(NoConnection):
    """The bucket or the table in AWS does not answer, or fails on its side."""


class ConnectionLost(ClientError):
    """The connection ended before `closed`, so finals may be missing."""

    exit_code = ExitCode.CONNECTION_LOST


class GaveUp(ConnectionLost):
    """The stream could not be resumed for too long, or the service made no progress."""


class OutputFailed(ClientError):
    """Captions cannot be written to stdout, e.g. because the disk is full."""

    exit_code = ExitCode.OUTPUT_FAILED


class FileFailed(OutputFailed):
    """The output cannot be written to the given file."""


class AccessRefused(ClientError):
    """AWS denies access: there are no credentials, no rights, or no such bucket or table."""

    exit_code = ExitCode.REFUSED


class NotSignedIn(ClientError):
    """The site has accounts, and nobody is signed in there, or the sign-in failed."""

    exit_code = ExitCode.REFUSED


class AlreadyThere(ClientError):
    """Another recording has that key in the bucket, and would be overwritten."""

    exit_code = ExitCode.REFUSED


class NotYet(ClientError):
    """There is no transcript yet."""

    exit_code = ExitCode.NOT_YET


class NoTranscript(ClientError):
    """There is no transcript and there will be none, unless another recording is uploaded."""

    exit_code = ExitCode.NO_TRANSCRIPT


class NoSuchRecording(ClientError):
    """The bucket has no recording of that name."""

    exit_code = ExitCode.NO_SUCH_RECORDING


class NoSuchConversation(ClientError):
    """The table has no utterance of the conversation."""

    exit_code = ExitCode.NO_SUCH_RECORDING


class NoSuchVocabulary(ClientError):
    """Amazon Transcribe has no vocabulary or filter of that name."""

    exit_code = ExitCode.NO_SUCH_RECORDING


class EndedByService(ClientError):
    """The service ended the stream gracefully, but before the end of the audio."""

    exit_code = ExitCode.REFUSED


class Refused(ClientError):
    """The service refused or ended the connection and gave a reason.

    Args:
        code: an `ErrorCode`, or one that only a newer service knows.
        message: for people.
        retry_after: seconds; None means that the service did not say.
        retryable: whether the same request can succeed later; None means as `ERRORS` has it for
            the code, or no for an unknown code.
    """

    exit_code = ExitCode.REFUSED

    def __init__(
        self,
        code: str,
        message: str,
        retry_after: float | None = None,
        *,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(code, message, retry_after)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        known = any(kind.retryable for each, kind in ERRORS.items() if each == code)
        self.retryable = known if retryable is None else retryable

    @property
    def lines(self) -> tuple[str, ...]:
        """The message in one line."""
        return (f"{self.code}: {self.message} {self.advice}",)

    @property
    def advice(self) -> str:
        """A sentence of advice: when to try again, or what to do instead."""
        if self.code in _ADVICE:
            return _ADVICE[self.code]
        if not self.retryable:
            return "Trying again will not help."
        if self.retry_after is None:
            return "Try again later."
        return f"Try again in {self.retry_after:g} s."


_ADVICE: dict[str, str] = {
    ErrorCode.INVALID_OPTION: "Leave it out, or choose another one.",
    ErrorCode.ENGINE_REFUSED: "Trying again will not help; whoever runs the service can see why.",
    ErrorCode.UNSUPPORTED_LANGUAGE: "`python -m client languages` shows what there is.",
    ErrorCode.ACCESS_REVOKED: "Ask the conversation's owner, or an administrator.",
    # Reasons of the API and of the handshake: `access.decisions`, `lambdas.api`, `access.tickets`.
    "not_signed_in": "`python -m client login` signs in.",
    "token_invalid": "`python -m client login` signs in again.",
    "blocked": "Ask an administrator.",
    "key_invalid": "`python -m client keys make` makes another one, for whoever is signed in.",
    "scope_missing": "Make a key with that scope, or sign in.",
    "not_found": "`python -m client conversations list` shows yours.",
    "link_invalid": "Ask for a new link.",
    "too_many": "Or wait until one is over.",
    "upload_over": "Upload the file again.",
    "role_missing": "Ask the conversation's owner.",
    "administrators_only": "Ask an administrator, who has to sign in: keys do not manage people.",
    "ticket_mismatch": "Ask the conversation's owner for a right to it.",
    "ticket_invalid": "Try again later; if it goes on, ask whoever runs the service.",
    "ticket_expired": "Check this machine's clock.",
}
