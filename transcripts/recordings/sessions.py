"""Decides when a session's transcript can be written, and combines it from those of its chunks.

Everything here is pure, and a function of the objects in the bucket. An event only triggers it, so
the order, the number and the concurrency of events do not matter.

The chunks of a session are announced by `metadata.json`, or by the event of its end, or else, once
it has ended, by the audio that was uploaded. Its transcript is written

* when each of these chunks has a transcript or a failure, or
* when the session has ended, and those that have neither have no audio either: they are missing.

Until then it waits, because uploaded audio will be transcribed. Chunks beyond those announced are
included as soon as they have a transcript; they are never a reason to wait.

Two keys may have the same number (`chunk-1`, `chunk-001`). A transcript counts more than a
failure, and of two of the same kind the one that sorts first, here `chunk-001`, whichever was
uploaded first. The other is a *duplicate*, which a log names.

On the session's timeline each chunk begins where the one before it ends, by the durations of the
audio as it was decoded. The duration of a chunk without a transcript is not known, so the timeline
has no room for it; the transcript lists it as a gap.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from transcripts.documents import (
    Gap,
    GapReason,
    PlacedChunk,
    RecordingTranscript,
    Segment,
    SessionEnd,
    SessionMetadata,
    SessionSegment,
    SessionTranscript,
)
from transcripts.models import Word
from transcripts.recordings.keys import (
    FAILURE,
    Chunk,
    Session,
    UnknownKey,
    recording,
    transcribed_chunk,
)
from transcripts.recordings.objects import ObjectVersion

#: The language of a session of which nothing was understood (BCP 47: undetermined).
UNDETERMINED: Final = "und"
#: Of the way transcripts are combined. Another one makes those that exist be written anew when
#: something happens to their session.
METHOD: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResults:
    """The transcripts and failures of a session's chunks, by their numbers."""

    transcripts: Mapping[int, ObjectVersion]
    #: Of chunks that have no transcript.
    failures: Mapping[int, ObjectVersion]
    #: Keys that do not count, because another one has the same number.
    duplicates: tuple[str, ...] = ()

    @property
    def numbers(self) -> set[int]:
        """Chunks that have a transcript or a failure."""
        return self.transcripts.keys() | self.failures.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The decision to write nothing yet, because chunks are outstanding."""

    #: The number of outstanding chunks; None if the number of all chunks is not known.
    outstanding: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Combine:
    """The decision to combine these transcripts, in the order of their numbers."""

    transcripts: tuple[tuple[int, ObjectVersion], ...]
    gaps: tuple[tuple[int, GapReason], ...]

    @property
    def size(self) -> int:
        """The total size of the transcripts, bytes."""
        return sum(listed.size for _, listed in self.transcripts)

    @property
    def fingerprint(self) -> str:
        """Identifies this combination; the same one gives the same transcript."""
        parts = [f"method {METHOD}"]
        parts += [f"{number} {listed.etag}" for number, listed in self.transcripts]
        parts += [f"{number} {reason}" for number, reason in self.gaps]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


Plan: TypeAlias = Wait | Combine


def chunk_results(session: Session, listed: Iterable[ObjectVersion]) -> ChunkResults:
    """Find a session's transcripts and failures among the objects below its `outcomes_prefix`."""
    transcripts: dict[int, list[ObjectVersion]] = defaultdict(list)
    failures: dict[int, list[ObjectVersion]] = defaultdict(list)
    for each in listed:
        try:
            chunk = transcribed_chunk(each.key)
        except UnknownKey:
            continue
        if chunk.session == session:
            kind = failures if each.key.endswith(FAILURE) else transcripts
            kind[chunk.number].append(each)
    best = {number: min(same, key=_key) for number, same in transcripts.items()}
    failed = {
        number: min(same, key=_key) for number, same in failures.items() if number not in best
    }
    counted = {each.key for each in (*best.values(), *failed.values())}
    # A failure beside the transcript of the very same chunk is what was tried before.
    others = {
        each.key
        for kind in (transcripts, failures)
        for number, same in kind.items()
        for each in same
        if each.key not in counted and not _same_chunk(each, best.get(number))
    }
    return ChunkResults(transcripts=best, failures=failed, duplicates=tuple(sorted(others)))


def uploaded_chunks(session: Session, keys: Iterable[str]) -> frozenset[int]:
    """Return the numbers of the chunks whose audio has one of these keys."""
    numbers = set()
    for key in keys:
        try:
            audio = recording(key)
        except UnknownKey:
            continue
        if isinstance(audio, Chunk) and audio.session == session:
            numbers.add(audio.number)
    return frozenset(numbers)


def decide(
    known: ChunkResults,
    *,
    metadata: SessionMetadata | None,
    end: SessionEnd | None,
    audio: Collection[int] = (),
) -> Plan:
    """Decide whether a session's transcript can be combined now.

    `audio` has the numbers of the chunks that were uploaded. It only matters after the end, or if
    the metadata lack the number of the first chunk (`needs_audio`).
    """
    expected = _expected(known, metadata, end, audio)
    if expected is None:
        return Wait(outstanding=None)
    open_chunks = expected - known.numbers
    if end is None and open_chunks:
        return Wait(outstanding=len(open_chunks))
    # Uploaded chunks beyond those announced are not waited for.
    in_work = open_chunks & set(audio)
    if in_work:
        return Wait(outstanding=len(in_work))
    if not expected and not known.numbers:
        return Wait(outstanding=0)  # it ended before it began
    gaps = dict.fromkeys(open_chunks, GapReason.MISSING)
    gaps |= dict.fromkeys(known.failures, GapReason.FAILED)
    return Combine(
        transcripts=tuple(sorted(known.transcripts.items(), key=_number)),
        gaps=tuple(sorted(gaps.items())),
    )


def needs_audio(metadata: SessionMetadata | None, end: SessionEnd | None) -> bool:
    """Whether `decide` needs the numbers of the uploaded chunks."""
    return end is not None or (metadata is not None and metadata.first_chunk is None)


def _expected(
    known: ChunkResults,
    metadata: SessionMetadata | None,
    end: SessionEnd | None,
    audio: Collection[int],
) -> set[int] | None:
    """Return the numbers of the chunks that a session should have; None if nobody knows."""
    seen = known.numbers | set(audio)
    zero = 0 if 0 in seen else 1
    if metadata:
        first = zero if metadata.first_chunk is None else metadata.first_chunk
        return set(range(first, first + metadata.chunk_count))
    if end and end.chunk_count:
        return set(range(zero, zero + end.chunk_count))
    if end is None:
        return None
    # A number far beyond the others is a mistake in a name, and not that many missing chunks.
    last = min(max(seen, default=0), zero + 2 * len(seen) + _PLAUSIBLE_GAP)
    return seen | set(range(zero, last + 1)) if seen else set()


#: The longest plausible run of missing chunks, beyond twice the seen ones, in unannounced sessions.
_PLAUSIBLE_GAP: Final = 100


def _key(listed: ObjectVersion) -> str:
    return listed.key


def _number(item: tuple[int, ObjectVersion]) -> int:
    return item[0]


def _same_chunk(failure: ObjectVersion, transcript: ObjectVersion | None) -> bool:
    return (
        transcript is not None
        and failure.key.endswith(FAILURE)
        and transcribed_chunk(failure.key) == transcribed_chunk(transcript.key)
    )


# --- one transcript out of many ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """A chunk's transcript as it was read, and the ETag it had then."""

    document: RecordingTranscript
    etag: str


def combine(
    session: Session,
    plan: Combine,
    read: Iterable[Read | None],
    *,
    now: datetime,
    with_words: bool = True,
) -> SessionTranscript:
    """Return the transcript of a session.

    `read` gives the documents of `plan.transcripts` one after the other, in their order, and None
    for one that cannot be read. They are not kept. `now` is aware.
    """
    reasons = dict(plan.gaps)
    documents = zip(plan.transcripts, read, strict=True)
    placed: list[PlacedChunk] = []
    gaps: list[Gap] = []
    segments: list[SessionSegment] = []
    spoken: dict[str, float] = defaultdict(float)
    begin = 0.0
    for number, chunk in _in_order(documents, reasons):
        if chunk is None:
            reason = reasons.get(number, GapReason.UNREADABLE)
            gaps.append(Gap(chunk=number, reason=reason, at=_rounded(begin)))
            continue
        document = chunk.document
        placed.append(
            PlacedChunk(
                chunk=number,
                start_time=_rounded(begin),
                duration=document.duration,
                etag=chunk.etag,
            )
        )
        for segment in sorted(document.segments, key=_start):
            moved = _moved(segment, number, begin, document.duration, with_words=with_words)
            segments.append(moved)
            spoken[document.language] += moved.end_time - moved.start_time
        spoken[document.language] += 0.0
        begin += document.duration
    return SessionTranscript(
        user_id=session.user_id,
        session_id=session.session_id,
        duration=_rounded(begin),
        # The language with the most seconds of speech; of equal ones the first.
        language=max(spoken, key=lambda each: spoken[each], default=UNDETERMINED),
        created_at=now,
        complete=not gaps,
        without_words=not with_words,
        chunks=tuple(placed),
        gaps=tuple(gaps),
        segments=tuple(segments),
    )


def _in_order(
    documents: Iterable[tuple[tuple[int, ObjectVersion], Read | None]], gaps: Iterable[int]
) -> Iterator[tuple[int, Read | None]]:
    """Return chunks and gaps by their numbers."""
    absent = sorted(gaps, reverse=True)
    for (number, _), chunk in documents:
        while absent and absent[-1] < number:
            yield absent.pop(), None
        yield number, chunk
    while absent:
        yield absent.pop(), None


def _start(segment: Segment) -> float:
    return segment.start_time


def _moved(
    segment: Segment, chunk: int, begin: float, duration: float, *, with_words: bool
) -> SessionSegment:
    """Return a segment on the session's timeline.

    Engines may report words after the audio's end; here they would be within the next chunk.
    """

    def placed(moment: float) -> float:
        return _rounded(begin + min(moment, duration))

    # Validated words are not validated again, which saves most of the time for long sessions.
    words = tuple(
        Word.model_construct(
            word=word.word,
            start_time=placed(word.start_time),
            end_time=placed(word.end_time),
            confidence=word.confidence,
        )
        for word in (segment.words if with_words else ())
    )
    return SessionSegment.model_construct(
        chunk=chunk,
        start_time=placed(segment.start_time),
        end_time=placed(segment.end_time),
        text=segment.text,
        words=words,
        speaker_label=segment.speaker_label,
        channel=segment.channel,
    )


def _rounded(moment: float) -> float:
    """Return seconds in whole milliseconds, without the dust of many additions."""
    return round(moment, 3)
