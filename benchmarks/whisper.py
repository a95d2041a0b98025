"""Measures faster-whisper on long recordings: memory, word error rate, and utterances' begins.

A long recording consists of short ones with a reference text, repeated in changing order, with
pauses of 0.3 to 6 seconds of faint noise between them. So its text is known, and when each
utterance begins: where the sound of its clip rises.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import format_target, quantile, table_of
from benchmarks.recognition import find_recordings
from benchmarks.servers import ServerError
from benchmarks.whisper_alone import TimedWord
from tests.support.recordings import Recording, normalised

RATE = 16_000
PAUSES = (0.3, 0.7, 1.2, 2.0, 3.5, 6.0)
#: Rough amplitude of what is between utterances, of 32767.
NOISE = 6.0
#: An utterance begins where five frames of 20 ms, but for one, are not fainter than its louder
#: ones by so much.
FRAME = RATE // 50
FAINT = 10 ** (-26 / 20)
#: The targets.
WER_ABOVE = 0.01
START_P90 = 0.5
MEMORY_GROWTH = 1.25  # it varies by .15 between runs of one length


#: What is measured unless something else is asked for.
MINUTES = (20.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Minutes of speech; the library is measured up to so many, for its memory grows with them."""

    minutes: Sequence[float] = MINUTES
    library_up_to: float = 60


QUICK = Plan(minutes=(2.0, 4.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What is spoken in a long recording, and when it begins, seconds."""

    text: str
    start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A long recording by one way to run Whisper."""

    way: str
    #: Of the recording.
    minutes: float
    #: Taken.
    seconds: float
    #: Of the process, bytes.
    peak: int
    word_error_rate: float
    #: How far off utterances begin, seconds.
    start_p50: float
    start_p90: float
    start_max: float


def run(plan: Plan, model: Path, progress: Callable[[str], None]) -> list[Measured]:
    """Measure each length, by the server's transcriber and by the library.

    Raises:
        ServerError: a process failed.
    """
    clips = [each for each in find_recordings() if each.text]
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in plan.minutes:
            path = Path(folder, "long.wav")
            utterances, length = write_long(path, clips, minutes * 60)
            for way in ("ours", "library"):
                if way == "library" and minutes > plan.library_up_to:
                    continue
                progress(f"whisper: {minutes:g} minutes, {way}")
                measured.append(measure(way, model, path, utterances, length))
    return measured


def write_long(
    path: Path, clips: Sequence[Recording], seconds: float
) -> tuple[list[Utterance], float]:
    """Write a recording of at most so many seconds; return what is spoken in it, and its length."""
    rng, noise = random.Random(1), np.random.default_rng(1)  # noqa: S311 - to be the same each time
    sounds = {each.path: np.frombuffer(each.pcm(), "<i2") for each in clips}
    utterances: list[Utterance] = []
    at = 0
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        while True:
            for clip in rng.sample(clips, len(clips)):
                sound = sounds[clip.path]
                if at + len(sound) + max(PAUSES) * RATE > seconds * RATE:
                    return utterances, at / RATE
                utterances.append(Utterance(text=clip.text or "", start=at / RATE + onset(sound)))
                pause = noise.normal(0, NOISE, round(rng.choice(PAUSES) * RATE)).astype("<i2")
                file.writeframes(sound.tobytes() + pause.tobytes())
                at += len(sound) + len(pause)


def onset(sound: NDArray[np.int16]) -> float:
    """Return when the sound of a clip rises, seconds."""
    frames = sound[: len(sound) // FRAME * FRAME].astype(float).reshape(-1, FRAME)
    level = np.sqrt(np.square(frames).mean(axis=1))
    loud = level > np.quantile(level, 0.95) * FAINT
    for at in np.flatnonzero(loud):
        if loud[at : at + 5].sum() >= 4:
            return float(at * FRAME / RATE)
    return 0.0


def measure(
    way: str, model: Path, path: Path, utterances: Sequence[Utterance], length: float
) -> Measured:
    """Have a recording transcribed in a process alone, and compare with what is spoken in it."""
    command = [sys.executable, "-m", "benchmarks.whisper_alone", way, str(model), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise ServerError(f"{way}: {done.stderr.decode(errors='replace')[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    rate, late = compare(utterances, [(word, start, end) for word, start, end in found["words"]])
    return Measured(
        way=way,
        minutes=length / 60,
        seconds=found["seconds"],
        peak=found["peak"],
        word_error_rate=rate,
        start_p50=quantile(late, 0.5),
        start_p90=quantile(late, 0.9),
        start_max=quantile(late, 1.0),
    )


def compare(
    utterances: Sequence[Utterance], found: Sequence[TimedWord]
) -> tuple[float, list[float]]:
    """Return the word error rate, and how far off the utterances begin whose first word came."""
    reference: list[str] = []
    begins: dict[int, float] = {}
    for utterance in utterances:
        begins[len(reference)] = utterance.start
        reference += words(utterance.text)
    spoken = [(word, start) for text, start, _ in found for word in words(text)]
    compared: Any = jiwer.process_words(" ".join(reference), " ".join(word for word, _ in spoken))
    off = [
        abs(spoken[there][1] - begins[here])
        for here, there in _matched(compared.alignments[0])
        if here in begins
    ]
    return float(compared.wer), off


def _matched(alignment: Sequence[Any]) -> Iterator[tuple[int, int]]:
    for part in alignment:
        if part.type in {"equal", "substitute"}:
            yield from zip(
                range(part.ref_start_idx, part.ref_end_idx),
                range(part.hyp_start_idx, part.hyp_end_idx),
                strict=True,
            )


def words(text: str) -> list[str]:
    """Return the words of a text as they are compared."""
    return normalised(text).split()


def report(measured: Sequence[Measured]) -> str:
    """Return the table, and which targets are met."""
    columns: dict[str, Callable[[Measured], object]] = {
        "minutes": lambda each: each.minutes,
        "way": lambda each: each.way,
        "real-time factor": lambda each: f"{each.seconds / each.minutes / 60:.3f}",
        "peak MiB": lambda each: each.peak / 2**20,
        "WER": lambda each: f"{each.word_error_rate:.3f}",
        "start p50 s": lambda each: each.start_p50,
        "p90": lambda each: each.start_p90,
        "max": lambda each: each.start_max,
    }
    return "\n".join([table_of(measured, columns), "", *verdicts(measured)])


def verdicts(measured: Sequence[Measured]) -> list[str]:
    """Return a line for each target."""
    ours = [each for each in measured if each.way == "ours"]
    peers = {each.minutes: each for each in measured if each.way == "library"}
    lines = []
    for each in ours:
        name = f"{each.minutes:.0f} minutes"
        text = f"{name}: start p90 {each.start_p90:.2f} s"
        lines.append(format_target(text, is_kept=each.start_p90 <= START_P90))
        if peer := peers.get(each.minutes):
            above = each.word_error_rate - peer.word_error_rate
            text = f"{name}: WER {above:+.3f} of the library's"
            lines.append(format_target(text, is_kept=above <= WER_ABOVE))
    if len(ours) > 1:
        growth, times = ours[-1].peak / ours[0].peak, ours[-1].minutes / ours[0].minutes
        text = f"peak memory grows by {growth:.2f} over {times:.1f} times the length"
        lines.append(format_target(text, is_kept=growth <= MEMORY_GROWTH))
    return lines
