"""An entry of the ledger: one stream, its terms and its progress. Pure.

docs/resume.md says who writes what when. Frames are moments at 16 kHz, counted from the stream's
first one; samples are moments in the format that the client sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from transcripts.models import ConversationId, Language, Speaker, Utterance

#: Frames in a second, as engines count.
FRAME_RATE: Final = 16_000
#: The most pauses that are kept one by one; older ones are folded into the first.
MOST_PAUSES = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """Before `frame` nothing was recorded for `seconds`."""

    frame: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTerms:
    """What a speaker asked for at the start; a resume changes nothing of it."""

    stream_id: str
    conversation_id: ConversationId
    speaker: Speaker
    language: Language
    sample_rate: int
    channels: int
    #: Whether channels are recognised separately.
    separate: bool
    options: Mapping[str, str]
    #: SHA-256 of the resume token's secret, in hex.
    token_hash: str
    #: Whose right the stream needs, in the words of the room that checks it; empty where none is.
    right: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamProgress:
    """How far a stream has come. Every update writes all of it.

    Attributes:
        attempt: the largest of the client's connections so far.
        clock: when frame 0 was recorded; None before the first audio.
        pauses: in order of their frames.
        settled: the engine reports nothing before this frame any more.
        heard: for each recognised channel, the end of its last final in frames.
        speakers: how many speaker numbers the engine has given.
        count: finals so far, which is the number of the last one.
        unsent: finals that neither queue nor table is known to have.
        tail: what became of the last words when nobody came back in time. It is not settled:
            whoever resumes discards it, and the sweep publishes it when the stream is over.
    """

    attempt: int = 0
    clock: datetime | None = None
    pauses: tuple[Pause, ...] = ()
    settled: int = 0
    heard: tuple[int, ...] = (0,)
    speakers: int = 0
    count: int = 0
    unsent: tuple[Utterance, ...] = ()
    tail: tuple[Utterance, ...] = ()

    def with_pause(self, pause: Pause) -> StreamProgress:
        """Return the progress with a pause, which replaces the one at the same frame.

        Beyond `MOST_PAUSES` the oldest two become one, at the place of the second.
        """
        pauses = {one.frame: one for one in self.pauses} | {pause.frame: pause}
        in_order = [pauses[frame] for frame in sorted(pauses)]
        if len(in_order) > MOST_PAUSES:
            first, second, *rest = in_order
            in_order = [Pause(second.frame, first.seconds + second.seconds), *rest]
        return replace(self, pauses=tuple(in_order))

    def moment_of(self, frame: int) -> datetime:
        """Return when a frame was recorded; it needs `clock`."""
        assert self.clock is not None, "no audio was received"  # noqa: S101 - as documented
        paused = sum(pause.seconds for pause in self.pauses if pause.frame <= frame)
        return self.clock + timedelta(seconds=frame / FRAME_RATE + paused)


class StreamState(StrEnum):
    """What the sweep has to do about a stream."""

    #: A task serves it or holds its recognition; it is swept when that task is dead.
    OPEN = "open"
    #: No task holds anything; it can be resumed until the sweep ends it.
    WAITING = "waiting"
    #: Everything is in finals, or nobody came back. It cannot be resumed.
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One stream.

    Attributes:
        epoch: how often it was taken over; whoever has an older one can write nothing.
        version: grows with each update, which names the one that it expects.
    """

    terms: StreamTerms
    progress: StreamProgress = field(default_factory=StreamProgress)
    state: StreamState = StreamState.OPEN
    epoch: int = 0
    version: int = 0
