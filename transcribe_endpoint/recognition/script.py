"""A recogniser that returns the words of a script at their times, whatever the audio holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foundation.invalid import explain
from transcribe_endpoint.recognition.recogniser import ResultHandler, StreamRecognition
from transcribe_endpoint.recognition.results import SpokenSegment, SpokenWord, render
from transcribe_endpoint.requests import TranscribeRequest

#: The script where none is given.
DEFAULT_SCRIPT: Final = """\
The quick brown fox jumps over the lazy dog.
My name is Alice, and I live in Paris.
Streaming results are partial until their segment ends.
"""
#: Seconds from one word of a script to the next, and how much of that it sounds.
WORD_SECONDS: Final = 0.4
SOUNDING_SECONDS: Final = 0.36


class ScriptError(ValueError):
    """A file or a text is not a valid script."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptWord(_Written):
    """A word of a script; times are seconds from its beginning."""

    word: str = Field(min_length=1)
    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    confidence: float = Field(default=0.98, ge=0, le=1)
    speaker: str | None = None
    pii: str | None = None
    filtered: bool = False


class ScriptSegment(_Written):
    """A segment of a script."""

    words: tuple[ScriptWord, ...] = Field(min_length=1)
    #: Its channel if there are two, from 0; None alternates between them.
    channel: int | None = Field(default=None, ge=0, le=1)
    language: str | None = None


class ScriptFile(_Written):
    """A script with times, as JSON."""

    segments: tuple[ScriptSegment, ...]
    #: Seconds after which it begins again; None is never.
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class _Cue:
    """The moment at which a word is complete."""

    seconds: float
    segment: int
    word: SpokenWord
    is_last: bool


class Script:
    """Returns the words of a script at their times.

    Where a stream has two channels, segments alternate between them. Where the script names no
    speakers, segments alternate between two.
    """

    def __init__(self, written: ScriptFile) -> None:
        """Make a recogniser of a script.

        Raises:
            ScriptError: the script begins again before its end.
        """
        self._written = written
        self._cues = tuple(sorted(_cues(written), key=lambda cue: cue.seconds))
        last = self._cues[-1].seconds if self._cues else 0.0
        if written.seconds is not None and written.seconds < last:
            raise ScriptError(f"the script begins again at {written.seconds:g} s, before its end")

    @classmethod
    def of_text(cls, text: str) -> Script:
        """Return a script with each line as a segment, repeated for ever at an even pace.

        Raises:
            ScriptError: the text has no word.
        """
        segments, at = [], 0
        for line in filter(None, (line.split() for line in text.splitlines())):
            words = tuple(
                ScriptWord(
                    word=word,
                    start=round((at + number) * WORD_SECONDS, 3),
                    end=round((at + number) * WORD_SECONDS + SOUNDING_SECONDS, 3),
                )
                for number, word in enumerate(line)
            )
            segments.append(ScriptSegment(words=words))
            at += len(line) + 1  # a pause as long as a word
        if not segments:
            raise ScriptError("there is no word in the script")
        return cls(ScriptFile(segments=tuple(segments), seconds=round(at * WORD_SECONDS, 3)))

    @classmethod
    def read(cls, path: Path) -> Script:
        """Return the script in a file: JSON (`ScriptFile`) in `.json`, else lines of text.

        Raises:
            ScriptError: it is no script.
            OSError: it cannot be read.
        """
        try:
            text = path.read_text(encoding="utf-8")
            if path.suffix.lower() != ".json":
                return cls.of_text(text)
            return cls(ScriptFile.model_validate_json(text))
        except ValidationError as error:
            raise ScriptError(f"{path.name} is no script: {explain(error)}") from error
        except UnicodeDecodeError as error:
            raise ScriptError(f"{path.name} is no script: {error}") from error

    def recognise(self, request: TranscribeRequest, handler: ResultHandler) -> StreamRecognition:
        """Begin a recognition at the first line of the script."""
        return _Reading(self._endless(), self._written.segments, request, handler)

    def _endless(self) -> Iterator[_Cue]:
        yield from self._cues
        turn, seconds = 1, self._written.seconds
        while seconds is not None and self._cues:
            for cue in self._cues:
                yield _later(cue, turn * seconds, turn * len(self._written.segments))
            turn += 1


def _cues(written: ScriptFile) -> Iterator[_Cue]:
    for number, segment in enumerate(written.segments):
        for word in segment.words:
            spoken = SpokenWord(
                text=word.word,
                start=word.start,
                end=word.end,
                confidence=word.confidence,
                speaker=word.speaker or str(number % 2),
                pii=word.pii,
                filtered=word.filtered,
            )
            yield _Cue(word.end, number, spoken, word is segment.words[-1])


def _later(cue: _Cue, seconds: float, segments: int) -> _Cue:
    word = cue.word
    moved = replace(word, start=word.start + seconds, end=word.end + seconds)
    return _Cue(cue.seconds + seconds, cue.segment + segments, moved, cue.is_last)


class _Reading:
    """One stream that reads a script."""

    def __init__(
        self,
        cues: Iterator[_Cue],
        segments: tuple[ScriptSegment, ...],
        request: TranscribeRequest,
        handler: ResultHandler,
    ) -> None:
        self._cues = cues
        self._segments = segments
        self._request = request
        self._handler: ResultHandler | None = handler
        self._next = next(cues, None)
        self._open: dict[int, list[SpokenWord]] = {}
        self._received = 0  # bytes

    def audio(self, pcm: bytes) -> None:
        self._received += len(pcm)
        # The bytes are summed, and not the seconds, whose rounding errors would add up.
        received = self._received / self._request.bytes_per_second
        while self._next is not None and self._next.seconds <= received:
            cue, self._next = self._next, next(self._cues, None)
            words = self._open.setdefault(cue.segment, [])
            words.append(cue.word)
            if cue.is_last:
                del self._open[cue.segment]
            self._report(cue.segment, words, is_final=cue.is_last)

    def end(self) -> None:
        for segment, words in sorted(self._open.items()):
            self._report(segment, words, is_final=True)
        self._open.clear()
        if self._handler is not None:
            self._handler.on_end()

    def close(self) -> None:
        self._handler = None

    def _report(self, number: int, words: list[SpokenWord], *, is_final: bool) -> None:
        if self._handler is None:
            return
        written = self._segments[number % len(self._segments)]
        channel = number if written.channel is None else written.channel
        segment = SpokenSegment(
            number=number,
            words=words,
            is_final=is_final,
            channel=channel % self._request.channels,
            language=written.language,
        )
        self._handler.on_result(render(segment, self._request))
