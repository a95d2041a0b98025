"""What goes wrong when it is asked for, by name.

    refuse:400                         the start is refused with this HTTP status
    limit                              the start is refused as beyond the quota
    exception:InternalFailure@2.5      this exception, after 2.5 seconds of audio
    stall@2.5                          from then on nothing is read and nothing is said
    disconnect@2.5                     the connection breaks, without a word
    idle:3                             after 3 seconds without audio, and not 15, the stream ends
    one-stream-per-connection          a second HTTP/2 stream on a connection is refused

`x2` at the end, as in `disconnect@2.5x2`, asks for it twice: later streams are left alone.

On the command line a fault holds for every stream. A client that cannot set that, or wants only
some of its streams disturbed, names a vocabulary after the fault: `fault-` and the same with
hyphens, such as `fault-exception-InternalFailure-2.5-x2`. Every SDK takes that for a good name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from transcribe_endpoint.requests import (
    ERRORS,
    AccessDenied,
    BadRequest,
    Conflict,
    InternalFailure,
    LimitExceeded,
    ServiceError,
    ServiceUnavailable,
    StreamRequest,
)

#: How the name of a vocabulary begins that asks for a fault.
VOCABULARY_PREFIX: Final = "fault-"

_REFUSALS: Final = {
    str(error.status): error
    for error in (
        BadRequest,
        AccessDenied,
        Conflict,
        LimitExceeded,
        InternalFailure,
        ServiceUnavailable,
    )
}
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


class Kind(Enum):
    """The faults by name."""

    REFUSE = "refuse"
    LIMIT = "limit"
    EXCEPTION = "exception"
    STALL = "stall"
    DISCONNECT = "disconnect"
    IDLE = "idle"
    ONE_STREAM = "one-stream-per-connection"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Raises:
        UnknownFault: `parse` was given what names none.
    """

    kind: Kind
    #: When it happens in seconds of audio; of `IDLE`, the patience in seconds.
    seconds: float = 0.0
    #: What the client is told.
    error: type[ServiceError] | None = None
    #: How many streams it befalls; None is all.
    times: int | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that `text` names, in either spelling.

        Raises:
            UnknownFault: it names none.
        """
        found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
        if found is None:
            raise UnknownFault(f"there is no fault {text[:100]!r}")
        parts = found.groupdict()
        kind = Kind(parts["name"])
        error = _error(kind, parts.get("what") or "")
        return cls(
            kind=kind,
            seconds=float(parts.get("seconds") or 0.0),
            error=error,
            times=int(parts["times"]) if parts["times"] else None,
        )

    def happening(self) -> ServiceError:
        """Return the exception that the client is to be told."""
        error = self.error or InternalFailure
        at_handshake = self.kind is Kind.REFUSE
        return error("This was asked for, as a fault.", at_handshake=at_handshake)


def _error(kind: Kind, what: str) -> type[ServiceError] | None:
    if kind is Kind.LIMIT:
        return LimitExceeded
    if not what:
        return None
    found = _REFUSALS.get(what) or ERRORS.get(what) or ERRORS.get(what + "Exception")
    if found is None:
        raise UnknownFault(f"no exception is called {what[:100]!r}; there are {', '.join(ERRORS)}")
    return found


class Faults:
    """Deals out the faults to streams as they begin, each as often as was asked for."""

    def __init__(self, everywhere: Iterable[Fault] = ()) -> None:
        """Deal `everywhere` to all streams, and to each what it asks for itself."""
        self._everywhere = tuple(everywhere)
        self._dealt: Counter[Fault] = Counter()

    @property
    def one_stream_per_connection(self) -> bool:
        """Whether a second HTTP/2 stream on one connection is to be refused."""
        return any(fault.kind is Kind.ONE_STREAM for fault in self._everywhere)

    def deal(self, request: StreamRequest) -> tuple[Fault, ...]:
        """Return what is to befall a stream that begins now.

        Raises:
            BadRequest: a vocabulary is named after a fault that does not exist.
        """
        faults = (*self._everywhere, *_asked_for(request))
        due = tuple(
            fault for fault in faults if fault.times is None or self._dealt[fault] < fault.times
        )
        self._dealt.update(due)
        return due


def _asked_for(request: StreamRequest) -> list[Fault]:
    faults = []
    for name in request.vocabulary_names:
        if name.startswith(VOCABULARY_PREFIX):
            try:
                faults.append(Fault.parse(name.removeprefix(VOCABULARY_PREFIX)))
            except UnknownFault as error:
                raise BadRequest(f"The vocabulary {name[:100]!r}: {error}.") from error
    return faults
