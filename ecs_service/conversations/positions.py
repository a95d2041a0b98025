"""Positions: what a viewer of a conversation has received, as a text of at most 1 KB. Pure.

A position is a time, and for some streams the numbers of the finals that were sent. A final counts
as received if its number is among those of its stream. A number before the first one of its stream,
a stream that is not listed, and an utterance without a number count by the time: what was spoken
earlier has been received. That holds because no final comes later than `LATENESS` after it was
spoken, and the time is never later than now less that. docs/resume.md has the whole.

The text is base64url without padding. Its bytes:

| bytes      | are                                                                 |
|------------|---------------------------------------------------------------------|
| 1          | the version, 1                                                      |
| 6          | the time, milliseconds since 1970, big-endian                       |
| per stream | 8 bytes of the BLAKE2b of its id; then numbers as LEB128: the first |
|            | one; how many follow it without a gap; how many lie beyond; for     |
|            | each of these, how many are missing between it and the one before   |

    ValueError
    └── MalformedPosition    a text is not a position
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple

from transcripts.models import Utterance

#: The longest that a final may come after it was spoken: ten minutes kept by the speaker, ten
#: waiting for its return, and catching up.
LATENESS: Final = timedelta(minutes=30)
LATENESS_MS: Final = LATENESS // timedelta(milliseconds=1)
#: The most streams of a text.
MOST_STREAMS: Final = 16
#: The most numbers beyond the first gap of a stream, in a text.
MOST_BEYOND: Final = 8
#: The most that is remembered of a conversation. What is left out may be sent twice.
MOST_REMEMBERED_STREAMS: Final = 256
MOST_REMEMBERED_BEYOND: Final = 256

_VERSION: Final = 1
_HEAD_BYTES: Final = 7
_KEY_BYTES: Final = 8
#: In base64 these are 1,024 characters.
_MOST_BYTES: Final = 768
_MOST_NUMBER: Final = 2**31
#: Set in each byte of a number that is followed by another one.
_MORE: Final = 0x80
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class MalformedPosition(ValueError):
    """A text is not a position that this service has made."""


class Mark(NamedTuple):
    """What a position needs to know of a final.

    Attributes:
        stream: the first bytes of its stream's digest.
        number: of the final in its stream; None for finals of earlier versions.
        spoken: when, in milliseconds since 1970.
    """

    stream: bytes
    number: int | None
    spoken: int


def mark_of(utterance: Utterance) -> Mark:
    """Return the mark of a final."""
    stream = blake2b(utterance.stream_id.encode(), digest_size=_KEY_BYTES).digest()
    return Mark(stream, utterance.number, milliseconds(utterance.timestamp))


def milliseconds(moment: datetime) -> int:
    """Return a moment in whole milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


class _Numbers:
    """The numbers of one stream: `first` to `last`, and some beyond the gap after `last`."""

    __slots__ = ("beyond", "encoded", "first", "last", "spoken")

    def __init__(self, first: int, last: int, spoken: int = 0) -> None:
        self.first = first
        self.last = last
        #: Each with the time when it came, in milliseconds since 1970.
        self.beyond: dict[int, int] = {}
        #: When the newest of them was spoken.
        self.spoken = spoken
        #: As it is encoded, until it changes. A position is encoded for each final.
        self.encoded: bytes | None = None

    def add(self, number: int, now: int) -> None:
        self.encoded = None
        if number == self.last + 1:
            self.last = number
            if self.beyond:
                self._close_gap()
        elif number > self.last:
            if len(self.beyond) < MOST_REMEMBERED_BEYOND:
                self.beyond[number] = now
        elif number == self.first - 1:
            self.first = number

    def give_up_gaps(self, before: int) -> None:
        """Close gaps in front of numbers that came before a time: nothing fills them any more."""
        while self.beyond and self.beyond[nearest := min(self.beyond)] < before:
            self.last = nearest
            del self.beyond[nearest]
            self.encoded = None
            self._close_gap()

    def _close_gap(self) -> None:
        while self.last + 1 in self.beyond:
            self.last += 1
            del self.beyond[self.last]


class Position:
    """A position that grows with what is sent."""

    def __init__(self, time: int) -> None:
        """Make a position that covers what was spoken before `time`, in milliseconds since 1970."""
        self.time = time
        #: The streams that were heard last are at the end.
        self._streams: dict[bytes, _Numbers] = {}

    def covers(self, mark: Mark) -> bool:
        """Whether a final counts as received."""
        numbers = self._streams.get(mark.stream)
        if numbers is None or mark.number is None or mark.number < numbers.first:
            return mark.spoken < self.time
        return mark.number <= numbers.last or mark.number in numbers.beyond

    def covers_range(self, stream: bytes, first: int, last: int) -> bool:
        """Whether all finals of a stream from number `first` to `last` count as received."""
        numbers = self._streams.get(stream)
        return numbers is not None and numbers.first <= first and last <= numbers.last

    def add(self, mark: Mark, now: int) -> None:
        """Count a final as received at `now`, in milliseconds since 1970."""
        if mark.number is None:
            return  # it counts by its time alone
        numbers = self._streams.pop(mark.stream, None)
        if numbers is None:
            numbers = _Numbers(mark.number, mark.number)
            if len(self._streams) >= MOST_REMEMBERED_STREAMS:
                del self._streams[next(iter(self._streams))]
        else:
            numbers.add(mark.number, now)
        numbers.spoken = max(numbers.spoken, mark.spoken)
        self._streams[mark.stream] = numbers

    def fold(self, time: int) -> None:
        """Move the time forward to `time`, and leave out what counts by it then.

        All that was spoken before `time` has come: it is never later than the beginning of the last
        reading of the table less the lateness. In milliseconds since 1970.
        """
        self.time = max(self.time, time)
        for numbers in self._streams.values():
            numbers.give_up_gaps(self.time)
        self._streams = {
            stream: numbers
            for stream, numbers in self._streams.items()
            if numbers.spoken >= self.time
        }

    def encode(self) -> str:
        """Return the position as a text, which leaves out the streams that were heard first."""
        encoded = bytearray(_VERSION.to_bytes(1, "big") + self.time.to_bytes(6, "big"))
        for count, stream in enumerate(reversed(self._streams)):
            numbers = self._streams[stream]
            entry = numbers.encoded
            if entry is None:
                entry = numbers.encoded = stream + _encode_numbers(numbers)
            if count == MOST_STREAMS or len(encoded) + len(entry) > _MOST_BYTES:
                break
            encoded += entry
        return urlsafe_b64encode(encoded).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that a text holds.

        Raises:
            MalformedPosition: it holds none.
        """
        try:
            encoded = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise MalformedPosition("not base64url") from None
        if not _HEAD_BYTES <= len(encoded) <= _MOST_BYTES or encoded[0] != _VERSION:
            raise MalformedPosition("another version or length")
        position = cls(int.from_bytes(encoded[1:_HEAD_BYTES], "big"))
        rest = iter(encoded[_HEAD_BYTES:])
        streams = dict(_streams_of(rest))
        # The encoding begins with the stream that was heard last.
        position._streams = dict(reversed(streams.items()))
        return position


def _encode_numbers(numbers: _Numbers) -> bytes:
    beyond = sorted(numbers.beyond)[:MOST_BEYOND]
    encoded = bytearray()
    previous = numbers.last
    for value in (numbers.first, numbers.last - numbers.first, len(beyond)):
        _put(encoded, value)
    for number in beyond:
        _put(encoded, number - previous - 1)
        previous = number
    return bytes(encoded)


def _streams_of(rest: Iterator[int]) -> Iterator[tuple[bytes, _Numbers]]:
    """Yield the streams of an encoding.

    Raises:
        MalformedPosition: it ends early, or something is out of range.
    """
    count = 0
    while stream := bytes(islice(rest, _KEY_BYTES)):
        count += 1
        if count > MOST_STREAMS or len(stream) < _KEY_BYTES:
            raise MalformedPosition("too many streams, or half a stream")
        first = _take(rest)
        numbers = _Numbers(first, first + _take(rest))
        how_many, number = _take(rest), numbers.last
        if first < 1 or how_many > MOST_BEYOND:
            raise MalformedPosition("a number is out of range")
        for _ in range(how_many):
            number += 1 + _take(rest)
            numbers.beyond[number] = 0
        if number >= _MOST_NUMBER:
            raise MalformedPosition("a number is out of range")
        yield stream, numbers


def _put(encoded: bytearray, value: int) -> None:
    while value >= _MORE:
        encoded.append(value % _MORE | _MORE)
        value //= _MORE
    encoded.append(value)


def _take(rest: Iterator[int]) -> int:
    """Return the next LEB128 number of at most five bytes.

    Raises:
        MalformedPosition: there is none.
    """
    value, place_value = 0, 1
    for byte in islice(rest, 5):
        value += byte % _MORE * place_value
        place_value *= _MORE
        if byte < _MORE:
            return value
    raise MalformedPosition("half a number")
