"""A stream of speech as segments: the recogniser of every embedded engine.

Voice activity cuts the stream into segments of speech (`speech.segment`). A model decodes each
segment; this module decides when its guess is reported as a partial, and when as the final:

- a partial after every `interval` of audio, if its text is new or more of it is stable;
- a partial after `PAUSE` without speech. Where the segment then ends without another word, this is
  the text of its final, which so does not wait for a decoding after the hang-over;
- a final at the end of a segment with words;
- an empty final at the end of a segment whose partials had words: they are withdrawn, and the next
  segment is another one.

Intervals are measured in audio. Partials may take a share of the time (`PartialsTime`), so that on
a busy machine there are fewer of them and finals are not late. Finals with words depend on the
audio alone. Partials, and so whether one is withdrawn, also depend on how the audio is cut and on
the speed of the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

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

#: Seconds without speech after which a segment may be over: half of the hang-over.
PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a model recognises in a segment so far; without text, nothing."""

    text: str = ""
    #: On the timeline of the stream, seconds. Partials may be without.
    words: tuple[Word, ...] = ()
    #: How many of `words`, from the first, are expected to stay; None if the model does not say.
    stable_words: int | None = None


class SegmentDecoding(Protocol):
    """The decoding of one segment."""

    def feed(self, pcm: bytes) -> None:
        """Take the next audio (16 kHz, mono, s16le)."""

    def guess(self) -> Hypothesis:
        """Return what is recognised so far."""

    def pause(self) -> Hypothesis:
        """Return what is recognised so far; after this there may be no more words."""

    def finish(self, *, is_paused: bool) -> Hypothesis:
        """End the segment and return its text with words.

        Args:
            is_paused: whether there was no speech since `pause`.
        """


class SegmentDecoder(Protocol):
    """Decodes the segments of one stream, one after the other."""

    def begin(self, start: float) -> SegmentDecoding:
        """Begin the segment that starts at `start` seconds of the stream."""

    def interval(self, length: float) -> float:
        """Return the seconds of audio between two partials of a segment `length` seconds long.

        It is infinite for all lengths where nobody reads partials.
        """


class PartialsTime:
    """The time that the partials of a stream may take: a share of the audio's.

    What is counted is the clock's time and not the processor's: where more streams share a core, a
    partial takes longer, and all make fewer. A stream that is behind makes hardly any.
    """

    #: On a machine that keeps up partials take .12 of the time, and .17 where nobody pauses.
    SHARE: Final = 0.2
    SHARE_BEHIND: Final = 0.05
    #: What a stream that makes no partials has at most, and what it begins with; seconds.
    MOST: Final = 1.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = self.MOST

    @property
    def is_left(self) -> bool:
        """Whether a partial may be made."""
        return self._left > 0

    def earn(self, seconds: float, *, is_behind: bool) -> None:
        """Add the share of so many seconds of audio."""
        share = self.SHARE_BEHIND if is_behind else self.SHARE
        self._left = min(self._left + share * seconds, self.MOST)

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Take the time that passes inside."""
        began = self._clock()
        yield
        self._left -= self._clock() - began


class SegmentRecogniser:
    """Recognises one stream with a decoder of segments; see `BlockingRecogniser`."""

    def __init__(
        self,
        decoder: SegmentDecoder,
        options: RecognitionOptions,
        policy: SegmentPolicy,
        *,
        partials_time: PartialsTime | None = None,
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
        self._is_paused = False
        self._has_partials = math.isfinite(decoder.interval(0.0))
        self._shown = ""  # the last partial of the open segment
        self._shown_stable = 0  # and how many of its words were stable
        self._shown_at = 0.0
        self._partials_time = partials_time or PartialsTime()

    def accept(self, pcm: bytes, *, is_behind: bool = False) -> Iterator[Event]:
        """Consume audio; yield results and then the progress."""
        self._bytes += len(pcm)
        self._partials_time.earn(len(pcm) / BYTES_PER_SECOND, is_behind=is_behind)
        for probability, frame in self._voice.frames(pcm):
            if self._segmenter.now < self._lead_in:
                self._segmenter.skip(frame)  # the detector alone adapts to it
                continue
            for event in self._segmenter.feed(probability, frame):
                yield from self._handle(event)
            # After each frame, so that finals do not depend on how the audio is cut into pieces.
            yield from self._watch_pause()
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
                self._shown, self._shown_stable, self._is_paused = "", 0, False
            case SegmentAudio(pcm) if self._decoding is not None:
                self._decoding.feed(pcm)
            case SegmentEnded(end) if self._decoding is not None:
                decoding, self._decoding = self._decoding, None
                final = decoding.finish(is_paused=self._is_paused)
                if final.words or self._shown:
                    yield self._make_final(final, end)
                    self._segment += 1

    def _watch_pause(self) -> Iterator[Event]:
        if self._decoding is None or not self._has_partials:
            return
        was_paused, self._is_paused = self._is_paused, self._segmenter.quiet >= PAUSE
        if self._is_paused and not was_paused:
            yield from self._show(self._decoding.pause())

    def _emit_partial(self) -> Iterator[Event]:
        if self._decoding is None or not self._partials_time.is_left:
            return
        since = self._segmenter.now - self._shown_at
        if since < self._decoder.interval(self._shown_at - self._start):
            return
        with self._partials_time.spend():
            guess = self._decoding.guess()
        yield from self._show(guess)

    def _show(self, guess: Hypothesis) -> Iterator[Event]:
        self._shown_at = now = self._segmenter.now
        is_new = guess.text != self._shown or (guess.stable_words or 0) > self._shown_stable
        if guess.text and is_new:
            self._shown, self._shown_stable = guess.text, guess.stable_words or 0
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

    def _make_final(self, final: Hypothesis, end: float) -> Result:
        return Result(
            segment=self._segment,
            is_final=True,
            text=final.text,
            start=final.words[0].start_time if final.words else self._start,
            end=final.words[-1].end_time if final.words else end,
            words=final.words,
            language=self._language,
        )
