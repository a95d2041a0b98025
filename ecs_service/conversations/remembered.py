"""Remembers the finals of a conversation that came lately, as JSON, within bounds. Pure.

What is forgotten is remembered by its numbers, so it is known whether a viewer's position has all
of it. If so, what the viewer lacks is here, and the table need not be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from ecs_service.conversations.positions import Mark, Position, mark_of
from transcripts.models import Utterance
from transcripts.protocol import SNAPSHOT_UTTERANCES, Snapshot, encode

#: How long a final is remembered after it came, in seconds.
REMEMBER_SECONDS: Final = 300.0
#: The most finals of a conversation, and the most bytes of their JSON.
MOST_FINALS: Final = 1_000
MOST_BYTES: Final = 2 * 1024 * 1024
#: The most streams of a conversation that are known to have forgotten finals.
MOST_STREAMS: Final = 256

#: The most bytes of a snapshot's piece, if it has more than one utterance. A slow line shows its
#: viewer something within a second.
MOST_PIECE_BYTES: Final = 64 * 1024

_NO_UTTERANCES: Final = b'"utterances":[]'


@dataclass(frozen=True, slots=True)
class KnownFinal:
    """A final as it is sent.

    Attributes:
        order: sorts finals by timestamp, then id.
        json: the utterance as an object.
    """

    utterance_id: str
    order: str
    mark: Mark
    json: bytes

    @classmethod
    def of(cls, utterance: Utterance) -> KnownFinal:
        """Return the final of an utterance."""
        return cls(
            utterance.utterance_id, utterance.sort_key, mark_of(utterance), encode(utterance)
        )

    def utterance(self) -> Utterance:
        """Return the utterance."""
        return Utterance.model_validate_json(self.json)

    def frame(self, seq: int, position: str | None) -> bytes:
        """Return the message `final`."""
        tail = f',"position":"{position}"' if position is not None else ""
        return b'{"type":"final",%b,"seq":%d%b}' % (self.json[1:-1], seq, tail.encode())


def in_order(finals: Iterable[KnownFinal]) -> list[KnownFinal]:
    """Return finals in the order of the screen."""
    return sorted(finals, key=attrgetter("order"))


def snapshot_frame(head: Snapshot, finals: Iterable[KnownFinal]) -> bytes:
    """Return the message `head`, which has no utterances, with `finals` in it."""
    utterances = b",".join([final.json for final in finals])
    return encode(head).replace(_NO_UTTERANCES, b'"utterances":[%b]' % utterances, 1)


def pieces_of(finals: Sequence[KnownFinal]) -> Iterator[Sequence[KnownFinal]]:
    """Yield finals in pieces that fit into a snapshot each; one empty piece of none."""
    piece: list[KnownFinal] = []
    room = MOST_PIECE_BYTES
    for final in finals:
        room -= len(final.json)
        if piece and (room < 0 or len(piece) == SNAPSHOT_UTTERANCES):
            yield piece
            piece, room = [], MOST_PIECE_BYTES - len(final.json)
        piece.append(final)
    yield piece


@dataclass(slots=True)
class _Forgotten:
    """What was forgotten of a stream: the least and the greatest number, and the newest time."""

    first: int
    last: int
    spoken: int


class RememberedFinals:
    """The finals that a conversation remembers."""

    def __init__(self) -> None:
        #: Each with the time when it came, in milliseconds since 1970.
        self._finals: dict[str, tuple[KnownFinal, int]] = {}
        self._bytes = 0
        self._forgotten: dict[bytes, _Forgotten] = {}
        #: When the newest was spoken of what was forgotten and counts by its time.
        self._forgotten_spoken = 0

    def __len__(self) -> int:
        return len(self._finals)

    def add(self, final: KnownFinal, came: int) -> None:
        """Remember a final that came at a time, in milliseconds since 1970."""
        self._finals[final.utterance_id] = (final, came)
        self._bytes += len(final.json)
        while len(self._finals) > MOST_FINALS or self._bytes > MOST_BYTES:
            self._forget_first()

    def forget(self, came_before: int) -> None:
        """Forget what came before a time."""
        while self._finals:
            _, came = next(iter(self._finals.values()))
            if came >= came_before:
                break
            self._forget_first()

    def forget_numbers(self, spoken_before: int) -> None:
        """Forget the numbers of what was forgotten and spoken before a time; it counts as new."""
        old = [key for key, one in self._forgotten.items() if one.spoken < spoken_before]
        for key in old:
            self._drop_numbers(key)

    def spoken_since(self, moment: int) -> list[KnownFinal]:
        """Return what was spoken at a time or later, in order."""
        return in_order(f for f, _ in self._finals.values() if f.mark.spoken >= moment)

    def missing(self, position: Position) -> list[KnownFinal]:
        """Return what a position does not cover, in order."""
        return in_order(f for f, _ in self._finals.values() if not position.covers(f.mark))

    def has_all_after(self, position: Position, stored: Iterable[KnownFinal] = ()) -> bool:
        """Whether a position covers all that was forgotten, or `stored` has what it does not."""
        marks = {final.mark[:2] for final in stored}
        return (bool(marks) or position.time > self._forgotten_spoken) and all(
            one.spoken < position.time
            or (stream, one.last) in marks
            or position.covers_range(stream, one.first, one.last)
            for stream, one in self._forgotten.items()
        )

    def _forget_first(self) -> None:
        final, _ = self._finals.pop(next(iter(self._finals)))
        self._bytes -= len(final.json)
        stream, number, spoken = final.mark
        if number is None:
            self._forgotten_spoken = max(self._forgotten_spoken, spoken)
            return
        known = self._forgotten.get(stream)
        if known is None:
            if len(self._forgotten) >= MOST_STREAMS:
                self._drop_numbers(next(iter(self._forgotten)))
            self._forgotten[stream] = _Forgotten(number, number, spoken)
        else:
            known.first = min(known.first, number)
            known.last = max(known.last, number)
            known.spoken = max(known.spoken, spoken)

    def _drop_numbers(self, stream: bytes) -> None:
        self._forgotten_spoken = max(self._forgotten_spoken, self._forgotten.pop(stream).spoken)
