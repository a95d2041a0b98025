"""Measures the embedded engine alone and through the service: word error rate, real-time factor.

Direct means that the recording's voiced segments are decoded whole, in this process. Streamed means
that the recording goes through the running service like a speaker's audio, as fast as the service
reads it, in several formats. The difference between the two is the cost of the path.

The word error rate is (substitutions + deletions + insertions) / words of the reference; the
real-time factor is time taken / length of the audio, the service's start-up apart.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jiwer

from benchmarks import engines
from benchmarks.figures import format_target, table
from benchmarks.servers import cloudscribe
from client.live import Speaker
from speech.decode import decode
from speech.engines.blocking import BlockingModel, ModelSpec
from speech.engines.embedded import choose_embedded
from speech.engines.fork_server import load
from speech.pcm import PcmFormat
from tests.support.recognition import recognise_directly
from tests.support.recordings import RECORDINGS, Recording, normalised, recordings
from transcripts.protocol import Final, TranscribeParameters

#: The streamed word error rate may be so much above the direct one.
PATH_MAY_COST = 0.02

#: Sound without words: every word is an error. Other recordings have no reference.
WORDLESS = frozenset({"sb_noise2.wav"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. `recordings` limits their number, the shortest first."""

    formats: Sequence[PcmFormat] = (
        PcmFormat(16_000),
        PcmFormat(16_000, 2),
        PcmFormat(44_100),
        PcmFormat(44_100, 2),
        PcmFormat(48_000),
        PcmFormat(48_000, 2),
    )
    recordings: int | None = None


QUICK = Plan(formats=(PcmFormat(16_000), PcmFormat(44_100, 2)), recordings=4)


@dataclass(frozen=True, slots=True)
class Score:
    """Errors against a reference of `words` words, and what the recognition took in seconds."""

    errors: int
    words: int
    seconds: float
    audio: float

    @property
    def word_error_rate(self) -> float:
        """Errors per word of the reference; NaN where nothing was spoken."""
        return self.errors / self.words if self.words else math.nan

    @property
    def real_time_factor(self) -> float:
        """Time taken per time of audio."""
        return self.seconds / self.audio


@dataclass(slots=True)
class Results:
    """Scores by recording: direct, and streamed in each format."""

    formats: Sequence[PcmFormat]
    recordings: list[Recording] = field(default_factory=list)
    direct: list[Score] = field(default_factory=list)
    streamed: list[list[Score]] = field(default_factory=list)


def find_recordings() -> list[Recording]:
    """Return the recordings that are here; they are not part of this tree."""
    return recordings() if (RECORDINGS / "manifest.json").is_file() else []


def run(plan: Plan, available: Sequence[Recording], progress: Callable[[str], None]) -> Results:
    """Recognise the recordings both ways.

    Raises:
        ServerError: the service did not start, or died.
        ClientError: it refused a stream or lost it.
    """
    chosen = sorted(available, key=lambda recording: recording.seconds)[: plan.recordings]
    results = Results(plan.formats)
    embedded = choose_embedded()
    model = load(ModelSpec(engines.STREAMING[embedded], {}))
    for recording in chosen:
        progress(f"recognition: {recording.path.name}, direct")
        results.recordings.append(recording)
        results.direct.append(_directly(recording, model))
    with cloudscribe(embedded, slots=2) as server:
        for recording in chosen:
            scores = []
            for audio in plan.formats:
                progress(f"recognition: {recording.path.name}, streamed at {_name(audio)}")
                scores.append(asyncio.run(_streamed(recording, audio, server.url)))
            results.streamed.append(scores)
    return results


def score(reference: str | None, recognised: str, *, seconds: float, audio: float) -> Score:
    """Compare the recognised words with `reference`; without one, count all of them as errors."""
    hypothesis = normalised(recognised)
    if reference is None:
        return Score(len(hypothesis.split()), 0, seconds, audio)
    expected = normalised(reference)
    compared = jiwer.process_words(expected, hypothesis)
    errors = compared.substitutions + compared.deletions + compared.insertions
    return Score(errors, len(expected.split()), seconds, audio)


def _directly(recording: Recording, model: BlockingModel) -> Score:
    pcm = recording.pcm()
    began = time.perf_counter()
    finals = recognise_directly(pcm, model)
    seconds = time.perf_counter() - began
    recognised = " ".join(final.text for final in finals)
    return score(recording.text, recognised, seconds=seconds, audio=recording.seconds)


async def _streamed(recording: Recording, audio: PcmFormat, url: str) -> Score:
    parameters = TranscribeParameters(sample_rate=audio.sample_rate, channels=audio.channels)
    async with Speaker(url, parameters, interim_results=False) as speaker:
        began = time.perf_counter()
        sending = asyncio.create_task(_send(speaker, recording.path, audio))
        recognised = [message.text async for message in speaker if isinstance(message, Final)]
        await sending
        seconds = time.perf_counter() - began
    return score(recording.text, " ".join(recognised), seconds=seconds, audio=recording.seconds)


async def _send(speaker: Speaker, path: Path, audio: PcmFormat) -> None:
    for frame in decode(path, sample_rate=audio.sample_rate, channels=audio.channels):
        await speaker.send(frame)
        await asyncio.sleep(0)  # a send that need not wait does not yield
    await speaker.stop()


def report(results: Results) -> str:
    """Return the table, and whether the path costs more than it may."""
    names = [_name(audio) for audio in results.formats]
    heads = (
        "recording",
        "seconds",
        "words",
        "WER direct",
        *(f"WER {name}" for name in names),
        "RTF direct",
        *(f"RTF {name}" for name in names),
    )
    columns = [results.direct, *zip(*results.streamed, strict=True)]
    lines = [
        (recording.path.name, [column[number] for column in columns])
        for number, recording in enumerate(results.recordings)
    ]
    spoken = [total([one for one in column if one.words]) for column in columns]
    rows = [_row(name, scores) for name, scores in [*lines, ("total", spoken)]]
    targets = [
        _format_errors(name, streamed.word_error_rate, spoken[0].word_error_rate)
        for name, streamed in zip(names, spoken[1:], strict=True)
    ]
    noise = [
        one
        for recording, scores in zip(results.recordings, results.streamed, strict=True)
        if recording.path.name in WORDLESS
        for one in scores
    ]
    if noise:
        invented = sum(one.errors for one in noise)
        targets.append(
            format_target(f"words recognised in noise: {invented}", is_kept=not invented)
        )
    return "\n".join([table(heads, rows), "", *targets])


def total(scores: Sequence[Score]) -> Score:
    """Return the sum: every word counts the same, whatever recording it is in."""
    return Score(
        sum(one.errors for one in scores),
        sum(one.words for one in scores),
        sum(one.seconds for one in scores),
        sum(one.audio for one in scores),
    )


def _row(name: str, scores: Sequence[Score]) -> tuple[object, ...]:
    return (
        name,
        scores[0].audio,
        scores[0].words or "unknown",
        *(_rate(one) for one in scores),
        *(one.real_time_factor if one.audio else math.nan for one in scores),
    )


def _rate(one: Score) -> str:
    return f"{one.word_error_rate:.3f}" if one.words else f"{one.errors} words"


def _format_errors(name: str, streamed: float, direct: float) -> str:
    text = f"{name}: {(streamed - direct) * 100:+.1f} points of word error rate, at most +2.0"
    return format_target(text, is_kept=streamed <= direct + PATH_MAY_COST)


def _name(audio: PcmFormat) -> str:
    return f"{audio.sample_rate / 1000:g} kHz {'mono' if audio.channels == 1 else 'stereo'}"
