"""Where a stream is taken up again: samples of the client, frames of the engine. Pure."""

from __future__ import annotations

from math import gcd
from typing import Final

from speech.engines.base import ResumePoint
from speech.pcm import SAMPLE_RATE
from transcripts.streams.entry import LedgerEntry

#: Audio that a resampler gets before what counts, frames: it begins with silence in its memory.
RESAMPLER_FRAMES: Final = SAMPLE_RATE // 2
#: An epoch has so many numbers of segments, so that the ids of utterances never meet.
SEGMENTS: Final = 1_000_000


def needed_sample(settled: int, *, lead_in: int, sample_rate: int) -> int:
    """Return the first sample that is needed to go on from a settled frame.

    It is a place where a sample and a frame are the same moment.

    Args:
        settled: the engine reports nothing before this frame any more.
        lead_in: frames that the engine wants before that, to adapt to.
        sample_rate: of the client's audio, Hz.
    """
    common = gcd(sample_rate, SAMPLE_RATE)
    frame = max(0, settled - lead_in - RESAMPLER_FRAMES)
    return frame // (SAMPLE_RATE // common) * (sample_rate // common)


def resume_point(entry: LedgerEntry, *, lead_in: int) -> tuple[int, ResumePoint]:
    """Return the sample from which a client sends again, and where the recognition begins."""
    settled, rate = entry.progress.settled, entry.terms.sample_rate
    sample = needed_sample(settled, lead_in=lead_in, sample_rate=rate)
    point = ResumePoint(
        start=max(sample * SAMPLE_RATE // rate, settled - lead_in),
        settled=settled,
        heard=entry.progress.heard,
        segment=entry.epoch * SEGMENTS,
        speaker=entry.progress.speakers,
    )
    return sample, point
