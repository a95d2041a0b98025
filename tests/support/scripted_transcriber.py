"""A transcriber for tests, in its real process: what it does stands in the recording.

say WORDS       a transcript with these words
refuse          no audio
foreign         no model to align its language with
unoffered       an option that there is not
fail WORDS      the transcriber cannot do it, in these words
memory WORDS    too little memory, as CTranslate2 has it on a GPU, in these words
raise           something unexpected, and the model is as good as before
break           something unexpected, after which the model computes no more
die             the process ends
wait PATH       until there is a file at PATH, then the transcript is `done`
take SECONDS    that long at work, then the transcript is `done`
hang            without a sign of life, for good
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from speech.transcribers.base import Progress, Transcriber, Transcription, TranscriptionOptions
from speech.transcribers.child import Child
from speech.transcribers.choice import TranscriberSpec
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    TranscriberUnavailable,
    TranscriptionFailed,
)
from transcripts.documents import AudioTrack, FailureCode, Segment

MODULE = "tests.support.scripted_transcriber"


class Scripted(Transcriber):
    engine = "scripted 1"
    model = "1"
    light = True

    def __init__(self, spec: TranscriberSpec) -> None:
        self._spec = spec
        self._broken = False

    def check(self) -> None:
        if self._broken:
            raise RuntimeError("the model computes no more")

    def load(self) -> None:
        if self._spec.model == "missing":
            raise TranscriberUnavailable("there is no such model")

    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        order, _, rest = path.read_text().partition(" ")
        match order:
            case "say":
                return _transcription(rest, options.language)
            case "wait":
                while not Path(rest).exists():
                    progress(0.0)
                    time.sleep(0.01)
                return _transcription("done", options.language)
            case "take":
                end = time.monotonic() + float(rest)
                while (left := end - time.monotonic()) > 0:
                    progress(0.0)
                    time.sleep(min(0.1, left))
                return _transcription("done", options.language)
            case "hang":
                time.sleep(3600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "break":
                self._broken = True
                raise ZeroDivisionError(rest)
        raise _error(order, rest)


def _error(order: str, words: str) -> Exception:
    match order:
        case "raise":
            return ZeroDivisionError(words)
        case "foreign":
            return BadRecording(FailureCode.UNSUPPORTED_LANGUAGE, "ALIGNMENT is always")
        case "unoffered":
            return OptionUnavailable("it does not tell speakers apart")
        case "fail":
            return TranscriptionFailed(words)
        case "memory":
            return RuntimeError(words)
    return BadRecording(FailureCode.NOT_AUDIO, "it is no audio")


def _transcription(text: str, language: str | None) -> Transcription:
    return Transcription(
        duration=float(len(text)),
        language=language or "en-US",
        engine=Scripted.engine,
        audio_track=AudioTrack(number=2, count=3),
        segments=(Segment(start_time=0.0, end_time=float(len(text)), text=text),),
    )


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        Child(connection, make=Scripted).run()
