"""A stand-in for a recogniser, controlled by parameters.

It ignores the audio and emits one word for every `word_seconds` of it, with the speed and the
failures of its `ScriptedModel`. Load tests and tests of everything around an engine use it, because
its words, its times and its failures follow from the seed alone.

The cost of a chunk follows the stand-in model of the streaming template from which the live
protocol descends: `duration * constant_factor + delay + jitter * U(-1, 1)`, and `warmup_penalty` on
the first chunk of a session. A session works on one chunk at a time, in order.

The first word of the script is spoken at the start of the stream, and each word has its place. So
whoever recognises the same audio again gets the same words, which real engines do in most cases.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from speech.engines.base import (
    Capabilities,
    Engine,
    Policy,
    RecognitionOptions,
    Result,
    Session,
    SessionEvents,
)
from speech.engines.errors import EngineCrashed
from speech.pcm import BYTES_PER_SAMPLE, SAMPLE_RATE
from transcripts.models import Word

_ALPHABET = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november "
    "oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu"
)
#: The words from which the seed draws when there is no script.
VOCABULARY = tuple(_ALPHABET.split())
#: Words drawn from the seed before they repeat; prime, so that segments do not look alike.
_SEEDED_WORDS = 997


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedModel:
    """The behaviour of the stand-in. Times are seconds, rates are probabilities per chunk."""

    #: Time to process a chunk, whatever its length.
    delay: float = 0.0
    #: Time to process one second of audio: the real-time factor.
    constant_factor: float = 0.0
    #: Added to the time of each chunk, times a number drawn from -1 to 1.
    jitter: float = 0.0
    #: Added to the time of a session's first chunk.
    warmup_penalty: float = 0.0
    #: The session fails after it has processed the chunk.
    failure_rate: float = 0.0
    #: The session fails when the chunk arrives, and its waiting chunks are lost.
    panic_rate: float = 0.0
    seed: int = 0
    word_seconds: float = 0.4
    words_per_segment: int = 8
    #: The words, repeated; empty for words drawn from the seed.
    script: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        durations = (self.delay, self.constant_factor, self.jitter, self.warmup_penalty)
        if min(durations) < 0:
            raise ValueError("delay, constant_factor, jitter and warmup_penalty are at least 0")
        if not (0 <= self.failure_rate <= 1 and 0 <= self.panic_rate <= 1):
            raise ValueError("failure_rate and panic_rate are between 0 and 1")
        if round(self.word_seconds * SAMPLE_RATE) < 1:
            raise ValueError("a word lasts at least one sample")
        if self.words_per_segment < 1:
            raise ValueError("a segment holds at least one word")

    @property
    def is_immediate(self) -> bool:
        """Whether no chunk takes any time."""
        return not (self.delay or self.constant_factor or self.jitter or self.warmup_penalty)

    def list_words(self) -> tuple[str, ...]:
        """Return the words before they repeat."""
        if self.script:
            return self.script
        draw = random.Random(self.seed)  # noqa: S311 - a script, not a secret
        return tuple(draw.choices(VOCABULARY, k=_SEEDED_WORDS))

    def compute_cost(self, seconds: float, draw: random.Random) -> float:
        """Return the processing time of a chunk of `seconds`, without the warm-up."""
        swing = self.jitter * draw.uniform(-1.0, 1.0) if self.jitter else 0.0
        return max(0.0, seconds * self.constant_factor + self.delay + swing)


class ScriptedSettings(BaseModel):
    """The settings of the engine."""

    scripted: Annotated[
        ScriptedModel, Field(description="parameters of the engine `scripted`, as JSON")
    ] = ScriptedModel()


class ScriptedEngine(Engine):
    """Opens `ScriptedSession`s for any language and one channel, without processes."""

    name = "scripted"
    capabilities = Capabilities(punctuation=False)

    def __init__(self, model: ScriptedModel | None = None, *, policy: Policy | None = None) -> None:
        self.model = model or ScriptedModel()
        if policy is not None:
            self.policy = policy
        self._words = self.model.list_words()
        self._sessions = itertools.count()

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Open a session; never fails."""
        # The words are the same in every language.
        number = next(self._sessions)
        draw = random.Random(f"{self.model.seed}/{number}")  # noqa: S311 - a script, not a secret
        begin = round(options.begin * SAMPLE_RATE)
        return ScriptedSession(self.model, self._words, draw, events, begin)


class ScriptedSession(Session):
    """Counts samples and emits words: within `write`, or later if the model has delays."""

    def __init__(
        self,
        model: ScriptedModel,
        words: tuple[str, ...],
        draw: random.Random,
        events: SessionEvents,
        begin: int,
    ) -> None:
        self._model = model
        self._draw = draw
        self._events = events
        self._speaker = _Speaker(model, words, begin)
        self._is_immediate = model.is_immediate
        self._is_unreliable = bool(model.failure_rate or model.panic_rate)
        self._waiting: deque[int] = deque()  # samples of each unprocessed chunk
        self._timer: asyncio.TimerHandle | None = None
        self._free_at = 0.0  # loop time at which the current chunk is done
        self._warm = False
        self._ended = False
        self._is_over = False

    def write(self, pcm: bytes) -> None:
        """Process a chunk now, or after the chunks that wait if the model has delays."""
        if self._is_over:
            return
        if self._is_unreliable and self._draw.random() < self._model.panic_rate:
            self._fail("the scripted engine panicked")
            return
        samples = len(pcm) // BYTES_PER_SAMPLE
        if self._is_immediate:
            self._process(samples)
        else:
            self._waiting.append(samples)
            if self._timer is None:
                self._start_next()

    def end(self) -> None:
        """End the audio; the session ends when no chunk waits."""
        self._ended = True
        if self._timer is None and not self._is_over:
            self._finish()

    async def close(self) -> None:
        """Stop working."""
        self._is_over = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_next(self) -> None:
        """Start processing the oldest waiting chunk."""
        loop = asyncio.get_running_loop()
        cost = self._model.compute_cost(self._waiting[0] / SAMPLE_RATE, self._draw)
        if not self._warm:
            self._warm = True
            cost += self._model.warmup_penalty
        # Counted from the due time of the last chunk rather than from its timer, which is late.
        self._free_at = max(loop.time() if self._timer is None else 0.0, self._free_at) + cost
        self._timer = loop.call_at(self._free_at, self._complete)

    def _complete(self) -> None:
        """Complete the current chunk."""
        self._process(self._waiting.popleft())
        if self._is_over:
            return
        if self._waiting:
            self._start_next()
        else:
            self._timer = None
            if self._ended:
                self._finish()

    def _process(self, samples: int) -> None:
        if self._is_unreliable and self._draw.random() < self._model.failure_rate:
            self._fail("the scripted model failed")
            return
        speaker = self._speaker
        for result in speaker.advance(samples):
            self._events.recognised(result)
        self._events.progressed(speaker.samples / SAMPLE_RATE, speaker.settled / SAMPLE_RATE)

    def _finish(self) -> None:
        self._is_over = True
        speaker = self._speaker
        last = speaker.finish()
        if last is not None:
            self._events.recognised(last)
        self._events.progressed(speaker.samples / SAMPLE_RATE, speaker.settled / SAMPLE_RATE)
        self._events.finished()

    def _fail(self, reason: str) -> None:
        self._is_over = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._events.failed(EngineCrashed(reason))


class _Speaker:
    """Turns a count of samples into results, independently of the clock.

    Samples are counted from the start of the session, `begin` samples after that of the stream.
    """

    def __init__(self, model: ScriptedModel, script: tuple[str, ...], begin: int) -> None:
        self._script = script
        self._word_samples = round(model.word_seconds * SAMPLE_RATE)
        #: Words of the script that end before the session, or that it begins in the middle of.
        self._skipped = -(-begin // self._word_samples)
        self._first_word = self._skipped * self._word_samples - begin
        self._words_per_segment = model.words_per_segment
        self._words: list[Word] = []
        self._text: list[str] = []
        self._segment = 0
        self._next_word = 0
        #: Samples so far.
        self.samples = 0
        #: Samples before which all is final.
        self.settled = 0

    def advance(self, samples: int) -> list[Result] | tuple[()]:
        """Count audio; return a result for each word that it completes."""
        self.samples += samples
        if self.samples < self._place(self._next_word + 1):
            return ()
        results = []
        while self.samples >= self._place(self._next_word + 1):
            self._speak()
            full = len(self._words) == self._words_per_segment
            results.append(self._make_result(is_final=full))
            if full:
                self._settle(self._place(self._next_word))
        return results

    def _place(self, word: int) -> int:
        """Return the sample at which a word begins."""
        return self._first_word + word * self._word_samples

    def finish(self) -> Result | None:
        """Return the final of the open segment, if it has a word."""
        last = self._make_result(is_final=True) if self._words else None
        self._settle(self.samples)
        return last

    def _speak(self) -> None:
        start = self._place(self._next_word)
        text = self._script[(self._skipped + self._next_word) % len(self._script)]
        self._next_word += 1
        self._text.append(text)
        self._words.append(
            Word(
                word=text,
                start_time=start / SAMPLE_RATE,
                end_time=(start + self._word_samples) / SAMPLE_RATE,
                confidence=1.0,
            )
        )

    def _make_result(self, *, is_final: bool) -> Result:
        return Result(
            segment=self._segment,
            is_final=is_final,
            text=" ".join(self._text),
            start=self._words[0].start_time,
            end=self._words[-1].end_time,
            words=tuple(self._words),
        )

    def _settle(self, samples: int) -> None:
        if self._words:
            self._segment += 1
            self._words.clear()
            self._text.clear()
        self.settled = samples
