"""Cutting a stream into segments of speech. Pure: probabilities in, events out.

A segment opens after `min_speech` of speech and begins `pre_roll` before it. It closes after
`hang_over` without speech. Between the two thresholds the state stays as it
is (hysteresis), so a voice that wavers does not chop a word.

No segment outlasts `max_segment` (frames have one length). Its audio is delivered as it arrives, so
the cut cannot be moved to an earlier quiet point. Instead, from `soft_limit` on the first frame
without speech ends the segment. Where there is none, the segment is cut within the speech, and the
next one begins on the very next sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from speech.pcm import BYTES_PER_SAMPLE, SAMPLE_RATE

#: So much lies between the soft limit and the longest segment, seconds: some frames, so that a
#: segment that is cut within speech has not been quiet just before.
LIMITS_APART = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPolicy:
    """When a segment opens and closes. Times are seconds, thresholds are probabilities."""

    start_threshold: float = 0.5
    end_threshold: float = 0.35
    #: Shorter sounds, such as a click, open no segment.
    min_speech: float = 0.096
    pre_roll: float = 0.3
    hang_over: float = 0.5
    soft_limit: float = 15.0
    max_segment: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.end_threshold <= self.start_threshold <= 1:
            raise ValueError("0 <= end_threshold <= start_threshold <= 1")
        if min(self.min_speech, self.pre_roll, self.hang_over) < 0:
            raise ValueError("min_speech, pre_roll and hang_over are at least 0")
        if not self.min_speech + self.pre_roll < self.soft_limit <= self.max_segment - LIMITS_APART:
            raise ValueError(
                f"min_speech + pre_roll < soft_limit <= max_segment - {LIMITS_APART:g}"
            )


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """A segment begins at `start` seconds of the stream, which is in the past."""

    start: float


@dataclass(frozen=True, slots=True)
class SegmentAudio:
    """The next audio of the open segment, without gaps."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """The open segment ends at `end` seconds of the stream, with the audio delivered last."""

    end: float


SegmentEvent = SegmentStarted | SegmentAudio | SegmentEnded


class Segmenter:
    """Cuts one stream, given its frames with their probabilities of speech."""

    def __init__(self, policy: SegmentPolicy | None = None) -> None:
        policy = policy or SegmentPolicy()
        self._policy = policy
        self._min_speech = _samples(policy.min_speech)
        self._pre_roll = _samples(policy.pre_roll)
        self._hang_over = _samples(policy.hang_over)
        self._soft_limit = _samples(policy.soft_limit)
        self._max_segment = _samples(policy.max_segment)
        self._now = 0  # samples taken
        self._open = False
        self._start = 0  # where the open segment began
        self._quiet = 0  # samples without speech at the end of the open segment
        self._kept: deque[bytes] = deque()  # the latest audio that belongs to no segment
        self._kept_samples = 0
        self._speech = 0  # samples of speech at the end of `_kept`
        self._in_speech = False  # whether a cut within speech split a word

    @property
    def now(self) -> float:
        """Seconds of audio taken."""
        return self._now / SAMPLE_RATE

    @property
    def quiet(self) -> float:
        """Seconds without speech at the end of the open segment."""
        return self._quiet / SAMPLE_RATE if self._open else 0.0

    @property
    def settled(self) -> float:
        """Seconds of the stream before which no open or later segment begins."""
        return (self._start if self._open else self._now - self._kept_samples) / SAMPLE_RATE

    def feed(self, probability: float, pcm: bytes) -> Iterator[SegmentEvent]:
        """Take a frame (16 kHz, mono, s16le) and yield the resulting events."""
        samples = len(pcm) // BYTES_PER_SAMPLE
        self._now += samples
        if self._open:
            yield from self._continue(probability, pcm, samples)
        else:
            yield from self._wait(probability, pcm, samples)

    def skip(self, pcm: bytes) -> None:
        """Take a frame before the first one that is fed; it belongs to no segment.

        The first segment may begin within speech.
        """
        self._now += len(pcm) // BYTES_PER_SAMPLE
        self._in_speech = True

    def finish(self, pcm: bytes = b"") -> Iterator[SegmentEvent]:
        """End the stream with `pcm`, too short for a frame; close the open segment."""
        self._now += len(pcm) // BYTES_PER_SAMPLE
        if self._open:
            if pcm:
                yield SegmentAudio(pcm)
            yield self._close()
        self._kept.clear()
        self._kept_samples = 0

    def _wait(self, probability: float, pcm: bytes, samples: int) -> Iterator[SegmentEvent]:
        self._kept.append(pcm)
        self._kept_samples += samples
        policy = self._policy
        speaking = self._speech or self._in_speech
        threshold = policy.end_threshold if speaking else policy.start_threshold
        self._speech = self._speech + samples if probability >= threshold else 0
        if self._speech and (self._speech >= self._min_speech or self._in_speech):
            self._open = True
            self._start = self._now - self._kept_samples
            self._quiet = 0
            yield SegmentStarted(self._start / SAMPLE_RATE)
            yield SegmentAudio(b"".join(self._kept))
            self._kept.clear()
            self._kept_samples = self._speech = 0
        self._in_speech = False
        while self._kept and self._kept_samples - self._speech > self._pre_roll:
            self._kept_samples -= len(self._kept.popleft()) // BYTES_PER_SAMPLE

    def _continue(self, probability: float, pcm: bytes, samples: int) -> Iterator[SegmentEvent]:
        yield SegmentAudio(pcm)
        is_speech = probability >= self._policy.end_threshold
        self._quiet = 0 if is_speech else self._quiet + samples
        length = self._now - self._start
        patience = 0 if length >= self._soft_limit else self._hang_over
        if (self._quiet and self._quiet >= patience) or length + samples > self._max_segment:
            self._in_speech = is_speech
            yield self._close()

    def _close(self) -> SegmentEnded:
        self._open = False
        return SegmentEnded(self._now / SAMPLE_RATE)


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
