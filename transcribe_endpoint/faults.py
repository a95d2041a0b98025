"""Injection of failures into streams, by name.

    refuse:400                         the start is refused with this HTTP status
    limit                              the start is refused as beyond the quota
    exception:InternalFailure@2.5      this exception, after 2.5 seconds of audio
    stall@2.5                          from then on nothing is read and nothing is sent
    disconnect@2.5                     the connection is cut without a close
    idle:3                             the stream ends after 3 seconds without audio instead of 15
    one-stream-per-connection          a second HTTP/2 stream on a connection is refused

`x2` at the end, as in `disconnect@2.5x2`, limits a fault to the first two streams.

On the command line a fault holds for every stream. A client can request a fault for one stream by
naming a vocabulary after it: `fault-` and the fault with hyphens, such as
`fault-exception-InternalFailure-2.5-x2`. Every SDK accepts that as a vocabulary's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from transcribe_endpoint.errors import (
    ERRORS,
    BadRequest,
    InternalFailure,
    LimitExceeded,
    ServiceError,
)
from transcribe_endpoint.requests import TranscribeRequest

#: Prefix of the vocabulary names that request a fault.
VOCABULARY_PREFIX: Final = "fault-"

_REFUSALS: Final = {str(error.status): error for error in ERRORS.values()}
_SECONDS = r"(?P<seconds>\d{1,6}(?:\.\d{1,6})?)"
_FORMS: Final = tuple(
    re.compile(form + r"(?:-?x(?P<times>[1-9]\d{0,5}))?")
    for form in (
        r"(?P<name>refuse)[:-](?P<what>\d{3})",
        r"(?P<name>exception)[:-](?P<what>[A-Za-z]+)[@-]" + _SECONDS,
        r"(?P<name>stall|disconnect)[@-]" + _SECONDS,
        r"(?P<name>idle)[:@-]" + _SECONDS,
        r"(?P<name>limit|one-stream-per-connection)",
    )
)


class UnknownFault(ValueError):
    """There is no such fault."""


class FaultKind(Enum):
    """The kinds of faults, by their names."""

    REFUSE = "refuse"
    LIMIT = "limit"
    EXCEPTION = "exception"
    STALL = "stall"
    DISCONNECT = "disconnect"
    IDLE = "idle"
    ONE_STREAM = "one-stream-per-connection"


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure that is injected into streams."""

    kind: FaultKind
    #: When it happens, in seconds of audio; for `IDLE`, the longest time without audio, seconds.
    seconds: float = 0.0
    #: The error that the client receives.
    error: type[ServiceError] | None = None
    #: How many streams it affects; None is all.
    times: int | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that `text` names, with hyphens or without.

        Raises:
            UnknownFault: there is no such fault.
        """
        found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
        if found is None:
            raise UnknownFault(f"there is no fault {text[:100]!r}")
        parts = found.groupdict()
        kind = FaultKind(parts["name"])
        error = _error(kind, parts.get("what") or "")
        return cls(
            kind=kind,
            seconds=float(parts.get("seconds") or 0.0),
            error=error,
            times=int(parts["times"]) if parts["times"] else None,
        )

    def to_error(self) -> ServiceError:
        """Return the error that the client receives."""
        error = self.error or InternalFailure
        at_handshake = self.kind is FaultKind.REFUSE
        return error("This was asked for, as a fault.", at_handshake=at_handshake)


def _error(kind: FaultKind, what: str) -> type[ServiceError] | None:
    if kind is FaultKind.LIMIT:
        return LimitExceeded
    if not what:
        return None
    found = _REFUSALS.get(what) or ERRORS.get(what) or ERRORS.get(what + "Exception")
    if found is None:
        raise UnknownFault(f"no exception is called {what[:100]!r}; there are {', '.join(ERRORS)}")
    return found


class Faults:
    """Assigns faults to streams as they begin, and counts how many streams each has affected."""

    def __init__(self, everywhere: Iterable[Fault] = ()) -> None:
        """Assign `everywhere` to all streams, and to each stream the faults that it requests."""
        self._everywhere = tuple(everywhere)
        self._counts: Counter[Fault] = Counter()

    @property
    def one_stream_per_connection(self) -> bool:
        """Whether a second HTTP/2 stream on one connection is refused."""
        return any(fault.kind is FaultKind.ONE_STREAM for fault in self._everywhere)

    def due_for(self, request: TranscribeRequest) -> tuple[Fault, ...]:
        """Return the faults of a stream that begins now.

        Raises:
            BadRequest: a vocabulary is named after a fault that does not exist.
        """
        faults = (*self._everywhere, *_requested_by(request))
        due = tuple(
            fault for fault in faults if fault.times is None or self._counts[fault] < fault.times
        )
        self._counts.update(due)
        return due


def _requested_by(request: TranscribeRequest) -> list[Fault]:
    faults = []
    for name in request.vocabulary_names:
        if name.startswith(VOCABULARY_PREFIX):
            try:
                faults.append(Fault.parse(name.removeprefix(VOCABULARY_PREFIX)))
            except UnknownFault as error:
                raise BadRequest(f"The vocabulary {name[:100]!r}: {error}.") from error
    return faults
