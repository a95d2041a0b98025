"""Transcribes one recording in one process: `python -m benchmarks.whisper_alone WAY MODEL FILE`.

WAY is `ours` (the server's transcriber) or `library` (faster-whisper as it comes: one stretch
after the other, all of the recording at once). It prints the words, the time taken and the peak of
the memory, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from speech.transcribers.base import TranscriptionOptions
from speech.transcribers.faster_whisper import FasterWhisper
from speech.transcribers.whisper import WhisperSettings

#: A word, and its start and end in seconds.
TimedWord = tuple[str, float, float]


def ours(model: str, path: str) -> list[TimedWord]:
    """Return what the server's transcriber makes of a recording."""
    made = FasterWhisper(WhisperSettings(model, device="cpu"))
    made.load()
    found = made.transcribe(Path(path), TranscriptionOptions(), lambda _done: None)
    return [
        (word.word, word.start_time, word.end_time)
        for each in found.segments
        for word in each.words
    ]


def library(model: str, path: str) -> list[TimedWord]:
    """Return what faster-whisper makes of it, with the same settings."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as `speech.transcribers.process` does
    from faster_whisper import WhisperModel  # noqa: PLC0415 - seconds

    found, _ = WhisperModel(model, device="cpu", compute_type="int8").transcribe(
        path, word_timestamps=True, vad_filter=True, condition_on_previous_text=False
    )
    return [(word.word, word.start, word.end) for each in found for word in each.words or ()]


def main(way: str, model: str, path: str) -> None:
    """Transcribe, and print what came of it."""
    began = time.monotonic()
    words = {"ours": ours, "library": library}[way](model, path)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    json.dump({"words": words, "seconds": seconds, "peak": peak}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
