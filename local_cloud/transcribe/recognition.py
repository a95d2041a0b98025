"""What a stream says: one port, and two stand-ins that follow from the audio alone.

- `Script` counts the audio and reads from a script: the same in every run, whatever is heard.
- `Dictation` reads its words off the samples, so that audio which comes a second time, or
  begins elsewhere, says the same words again. Tests of what a client does when its connection
  breaks need that. `dictate` makes such audio.

`embedded` is the third, with a recogniser that works on this machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foundation.invalid import explain
from local_cloud.transcribe.requests import ServiceError, StreamRequest
from local_cloud.transcribe.results import Segment, SpokenWord, render

_Samples = npt.NDArray[np.int16]


class Listener(Protocol):
    """Where a recognition reports to, on the event loop."""

    def said(self, result: Mapping[str, Any]) -> None:
        """Take a Result of the service, partial or final."""

    def finished(self) -> None:
        """Note that the audio has ended and the last result was handed over."""

    def failed(self, error: ServiceError) -> None:
        """Note that the recognition is over, and why; nothing follows."""


class Recognition(Protocol):
    """One stream under recognition; a stream of the service, so PCM of `request.sample_rate`."""

    def audio(self, pcm: bytes) -> None:
        """Take audio, never none and whole frames only. Never blocks."""

    def end(self) -> None:
        """Note that no more comes; `finished` is reported when all is said."""

    def close(self) -> None:
        """Stop, also in the middle. May be called twice; nothing is reported any more."""


class Recogniser(Protocol):
    """Opens recognitions."""

    def recognise(self, request: StreamRequest, listener: Listener) -> Recognition:
        """Begin to recognise a stream; reports to `listener`, but not yet from in here."""


# --- a script -----------------------------------------------------------------------------------

#: What is said when no script is given.
DEFAULT_SCRIPT: Final = """\
The quick brown fox jumps over the lazy dog.
My name is Alice, and I live in Paris.
Streaming results are partial until their segment ends.
"""
#: Seconds from one word of a script to the next, and how much of that it sounds.
WORD_SECONDS: Final = 0.4
SOUNDING_SECONDS: Final = 0.36


class ScriptError(ValueError):
    """A script cannot be read."""


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
    #: Where it sounds when there are two, from 0; None alternates between them.
    channel: int | None = Field(default=None, ge=0, le=1)
    language: str | None = None


class ScriptFile(_Written):
    """A script with times, as JSON."""

    segments: tuple[ScriptSegment, ...]
    #: Seconds after which it begins again; None is never.
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class _Cue:
    """The moment at which a word has been heard."""

    seconds: float
    segment: int
    word: SpokenWord
    is_last: bool


class Script:
    """Says what is written, as the audio goes by; its sound does not matter.

    Segments sound on both channels in turn where a stream has two. Without a name in the
    script, segments are spoken by two voices in turn.
    """

    def __init__(self, written: ScriptFile) -> None:
        """Make a recogniser of what is written."""
        self._written = written
        self._cues = tuple(sorted(_cues(written), key=lambda cue: cue.seconds))
        last = self._cues[-1].seconds if self._cues else 0.0
        if written.seconds is not None and written.seconds < last:
            raise ScriptError(f"the script begins again at {written.seconds:g} s, before its end")

    @classmethod
    def of_text(cls, text: str) -> Script:
        """Return one that says each line as a segment, again and again, at an even pace.

        Raises:
            ScriptError: there is no word.
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
        """Return that of a file: JSON (`ScriptFile`) where it is named so, else lines of text.

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

    def recognise(self, request: StreamRequest, listener: Listener) -> Recognition:
        """Begin at the top."""
        return _Reading(self._endless(), self._written.segments, request, listener)

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
    moved = SpokenWord(
        text=word.text,
        start=word.start + seconds,
        end=word.end + seconds,
        confidence=word.confidence,
        speaker=word.speaker,
        pii=word.pii,
        filtered=word.filtered,
    )
    return _Cue(cue.seconds + seconds, cue.segment + segments, moved, cue.is_last)


class _Reading:
    """One stream that hears a script."""

    def __init__(
        self,
        cues: Iterator[_Cue],
        segments: tuple[ScriptSegment, ...],
        request: StreamRequest,
        listener: Listener,
    ) -> None:
        self._cues = cues
        self._segments = segments
        self._request = request
        self._listener: Listener | None = listener
        self._next = next(cues, None)
        self._open: dict[int, list[SpokenWord]] = {}
        self._heard = 0  # bytes

    def audio(self, pcm: bytes) -> None:
        self._heard += len(pcm)
        # Bytes and not seconds are compared: a sum of many short times would go astray.
        heard = self._heard / self._request.bytes_per_second
        while self._next is not None and self._next.seconds <= heard:
            cue, self._next = self._next, next(self._cues, None)
            words = self._open.setdefault(cue.segment, [])
            words.append(cue.word)
            if cue.is_last:
                del self._open[cue.segment]
            self._say(cue.segment, words, is_final=cue.is_last)

    def end(self) -> None:
        for segment, words in sorted(self._open.items()):
            self._say(segment, words, is_final=True)
        self._open.clear()
        if self._listener is not None:
            self._listener.finished()

    def close(self) -> None:
        self._listener = None

    def _say(self, number: int, words: list[SpokenWord], *, is_final: bool) -> None:
        if self._listener is None:
            return
        written = self._segments[number % len(self._segments)]
        channel = number if written.channel is None else written.channel
        segment = Segment(
            number=number,
            words=words,
            is_final=is_final,
            channel=channel % self._request.channels,
            language=written.language,
        )
        self._listener.said(render(segment, self._request))


# --- words in the samples -----------------------------------------------------------------------

#: The level of word 0, and the distance from one word's to the next.
DICTATED_LEVEL: Final = 1_024
DICTATED_STEP: Final = 64
#: How many words there are.
DICTATED_WORDS: Final = 480
#: Below this there is silence, also after a conversion of the sample rate.
DICTATED_SILENCE: Final = 512
#: Seconds of silence that end a segment.
DICTATED_PAUSE: Final = 0.5


def dictate(
    words: Iterable[tuple[int, float, float]], *, seconds: float, sample_rate: int = 16_000
) -> bytes:
    """Return audio in which `Dictation` hears `words`: s16le, mono.

    Args:
        words: number (0 to 479), start and end in seconds of each; silence between two.
        seconds: the length of the audio.
        sample_rate: Hz.

    Raises:
        ValueError: there is no such word.
    """
    samples = np.zeros(round(seconds * sample_rate), dtype="<i2")
    for number, start, end in words:
        if not 0 <= number < DICTATED_WORDS:
            raise ValueError(f"there is no word {number}")
        level = DICTATED_LEVEL + number * DICTATED_STEP
        samples[round(start * sample_rate) : round(end * sample_rate)] = level
    return samples.tobytes()


class Dictation:
    """Reads words off the samples: each is a stretch of one level, and silence parts them.

    Word 7 is heard as `word7`. A pause of half a second ends a segment.
    """

    def recognise(self, request: StreamRequest, listener: Listener) -> Recognition:
        """Begin to listen."""
        return _Listening(request, listener)


class _Listening:
    """One stream of dictation."""

    def __init__(self, request: StreamRequest, listener: Listener) -> None:
        self._request = request
        self._listener: Listener | None = listener
        self._channels = [_Channel(request.sample_rate) for _ in range(request.channels)]
        self._numbers = [-1] * request.channels
        self._segments = 0

    def audio(self, pcm: bytes) -> None:
        samples: _Samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, len(self._channels))
        for number, channel in enumerate(self._channels):
            self._say(number, channel.hear(samples[:, number]))

    def end(self) -> None:
        for number, channel in enumerate(self._channels):
            self._say(number, channel.finish())
        if self._listener is not None:
            self._listener.finished()

    def close(self) -> None:
        self._listener = None

    def _say(self, channel: int, heard: list[tuple[list[SpokenWord], bool]]) -> None:
        for words, is_final in heard:
            if self._numbers[channel] < 0:  # numbers are of the stream, not of the channel
                self._numbers[channel] = self._segments
                self._segments += 1
            segment = Segment(
                number=self._numbers[channel], words=words, is_final=is_final, channel=channel
            )
            if is_final:
                self._numbers[channel] = -1
            if self._listener is not None:
                self._listener.said(render(segment, self._request))


class _Channel:
    """Turns the samples of one channel into words, and words into segments."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._pause = round(DICTATED_PAUSE * sample_rate)
        self._at = 0  # samples
        self._words: list[SpokenWord] = []
        self._quiet_since = 0
        #: Of the word that sounds now: where it began, and the sum of its levels.
        self._begun: int | None = None
        self._levels = 0

    def hear(self, samples: _Samples) -> list[tuple[list[SpokenWord], bool]]:
        """Return what the segment is after each word or pause that ends, and whether it is over."""
        heard: list[tuple[list[SpokenWord], bool]] = []
        loud = samples >= DICTATED_SILENCE
        edges = np.flatnonzero(loud[1:] != loud[:-1]) + 1
        bounds = [0, *edges.tolist(), len(samples)]
        for start, end in itertools.pairwise(bounds):
            if loud[start]:
                heard += self._pause_until(self._at + start)
                if self._begun is None:
                    self._begun = self._at + start
                self._levels += int(samples[start:end].sum(dtype=np.int64))
            elif self._begun is not None:
                heard.append(self._word_until(self._at + start))
        self._at += len(samples)
        if self._begun is None:
            heard += self._pause_until(self._at)
        return heard

    def finish(self) -> list[tuple[list[SpokenWord], bool]]:
        """Return the end of what is open."""
        if self._begun is not None:
            self._word_until(self._at)
        if not self._words:
            return []
        words, self._words = self._words, []
        return [(words, True)]

    def _word_until(self, end: int) -> tuple[list[SpokenWord], bool]:
        begun = self._begun or 0
        level = self._levels / max(end - begun, 1)
        number = round((level - DICTATED_LEVEL) / DICTATED_STEP)
        word = SpokenWord(text=f"word{number}", start=begun / self._rate, end=end / self._rate)
        self._words.append(word)
        self._begun, self._levels, self._quiet_since = None, 0, end
        return list(self._words), False

    def _pause_until(self, end: int) -> list[tuple[list[SpokenWord], bool]]:
        if self._begun is not None or not self._words or end - self._quiet_since < self._pause:
            return []
        words, self._words = self._words, []
        return [(words, True)]
