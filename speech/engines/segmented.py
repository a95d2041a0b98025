"""A stream of speech as segments: the recogniser of every embedded engine.

Voice activity cuts the stream into segments of speech (`speech.segment`). A model decodes each
segment; this module decides when its guess is reported as a partial, and when as the final:

- a partial after every `interval` of audio, if its text is new;
- a final at the end of a segment with words;
- an empty partial at the end of a segment whose partials had words and whose final has none.

Intervals are measured in audio, so results do not depend on the machine's speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event, Progress
from speech.pcm import BYTES_PER_SECOND
from speech.segment import (
    SegmentAudio,
    SegmentEnded,
    Segmenter,
    SegmentEvent,
    SegmentPolicy,
    SegmentStarted,
)
from speech.vad import VoiceActivity
from transcripts.models import Word


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a model recognises in a segment so far; without text, nothing."""

    text: str = ""
    #: On the timeline of the stream, seconds. Partials may be without.
    words: tuple[Word, ...] = ()
    #: How many of `words`, from the first, will not change; None if the model does not report it.
    stable_words: int | None = None


class SegmentDecoding(Protocol):
    """The decoding of one segment."""

    def feed(self, pcm: bytes) -> None:
        """Take the next audio (16 kHz, mono, s16le)."""

    def guess(self) -> Hypothesis:
        """Return what is recognised so far."""

    def finish(self) -> Hypothesis:
        """End the segment and return its text with words."""


class SegmentDecoder(Protocol):
    """Decodes the segments of one stream, one after the other."""

    def begin(self, start: float) -> SegmentDecoding:
        """Begin the segment that starts at `start` seconds of the stream."""

    def interval(self, length: float) -> float:
        """Return the seconds of audio between two partials of a segment `length` seconds long."""


class SegmentRecogniser:
    """Recognises one stream with a decoder of segments; see `BlockingRecogniser`."""

    def __init__(
        self, decoder: SegmentDecoder, options: RecognitionOptions, policy: SegmentPolicy
    ) -> None:
        self._decoder = decoder
        self._language = options.language
        self._lead_in = options.lead_in
        self._voice = VoiceActivity()
        self._segmenter = Segmenter(policy)
        self._bytes = 0
        self._segment = 0
        self._decoding: SegmentDecoding | None = None
        self._start = 0.0  # of the open segment
        self._shown = ""  # the last partial of the open segment
        self._shown_at = 0.0

    def accept(self, pcm: bytes) -> Iterator[Event]:
        """Consume audio; yield results and then the progress."""
        self._bytes += len(pcm)
        for probability, frame in self._voice.frames(pcm):
            if self._segmenter.now < self._lead_in:
                self._segmenter.skip(frame)  # the detector alone adapts to it
                continue
            for event in self._segmenter.feed(probability, frame):
                yield from self._handle(event)
        yield from self._emit_partial()
        yield Progress(self._bytes / BYTES_PER_SECOND, self._segmenter.settled)

    def finish(self) -> Iterator[Event]:
        """Close the open segment."""
        for event in self._segmenter.finish(self._voice.rest):
            yield from self._handle(event)
        end = self._bytes / BYTES_PER_SECOND
        yield Progress(end, end)

    def _handle(self, event: SegmentEvent) -> Iterator[Event]:
        match event:
            case SegmentStarted(start):
                self._decoding = self._decoder.begin(start)
                self._start = self._shown_at = start
                self._shown = ""
            case SegmentAudio(pcm) if self._decoding is not None:
                self._decoding.feed(pcm)
            case SegmentEnded(end) if self._decoding is not None:
                decoding, self._decoding = self._decoding, None
                final = decoding.finish()
                if final.words:
                    yield self._make_final(final)
                    self._segment += 1
                elif self._shown:
                    yield self._make_partial(Hypothesis(), end)

    def _emit_partial(self) -> Iterator[Event]:
        now = self._segmenter.now
        if self._decoding is None or now - self._shown_at < self._decoder.interval(
            self._shown_at - self._start
        ):
            return
        self._shown_at = now
        guess = self._decoding.guess()
        if guess.text and guess.text != self._shown:
            self._shown = guess.text
            yield self._make_partial(guess, now)

    def _make_partial(self, guess: Hypothesis, end: float) -> Result:
        return Result(
            segment=self._segment,
            is_final=False,
            text=guess.text,
            start=self._start,
            end=end,
            words=guess.words,
            language=self._language,
            stable_words=guess.stable_words,
        )

    def _make_final(self, final: Hypothesis) -> Result:
        return Result(
            segment=self._segment,
            is_final=True,
            text=final.text,
            start=final.words[0].start_time,
            end=final.words[-1].end_time,
            words=final.words,
            language=self._language,
        )
