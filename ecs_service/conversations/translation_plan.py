"""Decides which text is translated next: pure, without a clock or a call of its own.

Finals go first, and all of them are translated. Of an open utterance only the newest partial waits,
for a short time, because the next one may replace it: a partial is delayed by at most
`TranslationPolicy.partial_every`. Each partial repeats the ones before it, so translating all of
them would cost with the square of the utterance's length. Therefore the partials of an utterance
may cost at most `TranslationPolicy.partial_factor` times its longest text: while it is short each
one is translated, later only one that has grown enough.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from foundation.backoff import backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationPolicy:
    """Limits and delays of translation, for one conversation and language. Times are seconds."""

    #: Delay of an utterance's first partial, which may be half a word.
    first_partial: float = 0.2
    #: Between two translations of an utterance's partials, start to start.
    partial_every: float = 0.4
    #: The budget for an utterance's partials, in multiples of its longest text.
    partial_factor: int = 3
    #: The most open utterances; beyond that the one without a partial for longest is dropped.
    open_utterances: int = 64
    #: The most finals that wait; beyond that the oldest is dropped. A snapshot has fewer.
    waiting_finals: int = 256
    #: The most concurrent calls; while calls fail, one at a time.
    calls: int = 4
    #: Timeout of a call.
    call_seconds: float = 4.0
    #: Pause after a failure; it doubles with each, up to the longest.
    first_pause: float = 0.25
    longest_pause: float = 5.0
    #: A final that has waited longer is not tried again.
    final_seconds: float = 30.0
    #: Consecutive failures after which viewers get the status `failing`.
    failures_reported: int = 2
    #: The most characters, of texts and translations together, in the cache.
    cache_characters: int = 256 * 1024

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures in a row, in seconds."""
        return backoff(failures, first=self.first_pause, longest=self.longest_pause)


@dataclass(slots=True)
class TranslationJob:
    """A text to translate."""

    utterance_id: str
    #: The text's own language, BCP 47.
    language: str
    text: str
    #: `seq` of the message that has the text.
    seq: int
    is_final: bool
    #: When the job was made.
    since: float
    #: Whether the text is from a snapshot, older than the reader who wants it.
    is_past: bool = False


@dataclass(slots=True)
class _OpenUtterance:
    """The state of an utterance that has no final yet."""

    waiting: TranslationJob | None = None
    due: float = 0.0
    last: float | None = None  # when the last partial was taken
    is_in_flight: bool = False
    spent: int = 0  # characters of partials that were taken
    longest: int = 0  # characters of the longest partial
    last_text: str = ""  # the newest text that was taken
    #: `seq` of the newest text that was published or retracted; no older one follows it.
    published_seq: int = -1
    is_published: bool = False  # whether viewers have a translation of it


@dataclass(slots=True)
class TranslationPlan:
    """The texts of one conversation that wait for translation into one language."""

    policy: TranslationPolicy
    _open: dict[str, _OpenUtterance] = field(default_factory=dict)
    _finals: deque[TranslationJob] = field(default_factory=deque)
    _past: deque[TranslationJob] = field(default_factory=deque)

    def add_partial(self, job: TranslationJob) -> None:
        """Queue the newest partial of an utterance, in place of the one before.

        A partial that exceeds the budget, or has the text that was taken last, is not queued.
        """
        utterance = self._open.pop(job.utterance_id, None) or _OpenUtterance()
        self._open[job.utterance_id] = utterance  # as the newest
        if len(self._open) > self.policy.open_utterances:
            del self._open[next(iter(self._open))]
        utterance.longest = max(utterance.longest, len(job.text))
        if job.text == utterance.last_text:
            utterance.waiting = None  # only its times differ, or the recogniser went back to it
            return
        if utterance.spent + len(job.text) > self.policy.partial_factor * utterance.longest:
            utterance.waiting = None  # the text that waited is out of date
            return
        if utterance.waiting is None:
            utterance.due = (
                job.since + self.policy.first_partial
                if utterance.last is None
                else max(job.since, utterance.last + self.policy.partial_every)
            )
        utterance.waiting = job

    def add_final(self, job: TranslationJob) -> TranslationJob | None:
        """Queue a final, which ends its utterance; return the final that was dropped for it."""
        self._open.pop(job.utterance_id, None)
        (self._past if job.is_past else self._finals).append(job)
        return self._overflow()

    def retract(self, job: TranslationJob) -> bool:
        """Drop an utterance's texts before `job`, whether they wait or are being translated.

        Returns whether viewers have a translation of such a text, which is outdated now.
        """
        utterance = self._open.get(job.utterance_id)
        if utterance is None:
            return False
        was_published = utterance.is_published
        if job.is_final:
            del self._open[job.utterance_id]
        utterance.waiting = None
        utterance.last_text = ""
        utterance.published_seq = job.seq
        # An empty text takes its translation with it.
        utterance.is_published = was_published and bool(job.text)
        return was_published

    def requeue(self, job: TranslationJob) -> TranslationJob | None:
        """Queue a final again, before all others; return the final that was dropped for it."""
        (self._past.append if job.is_past else self._finals.appendleft)(job)
        return self._overflow()

    def take(self, now: float) -> TranslationJob | None:
        """Take the text to translate now, if any; call `complete` after a partial's call."""
        if self._finals:
            return self._finals.popleft()
        ready = [each for each in self._takeable() if each.due <= now]
        if ready:
            return _take(min(ready, key=lambda each: each.due), now)
        # The newest first: older ones are about to scroll off the screen.
        return self._past.pop() if self._past else None

    def complete(self, job: TranslationJob, *, failed: bool = False) -> None:
        """Note that the call for a partial has ended."""
        utterance = self._open.get(job.utterance_id)
        if utterance is not None and not job.is_final:
            utterance.is_in_flight = False
            if failed:
                utterance.last_text = ""

    def accept_answer(self, job: TranslationJob) -> bool:
        """Return whether to publish the translation of `job`; if so, older ones no longer are."""
        if job.is_final:
            return True
        utterance = self._open.get(job.utterance_id)
        if utterance is None or utterance.published_seq >= job.seq:
            return False
        utterance.published_seq = job.seq
        utterance.is_published = True
        return True

    def due(self) -> float | None:
        """Return when `take` will have a text if nothing else is queued; None for never."""
        if self._finals or self._past:
            return 0.0
        return min((each.due for each in self._takeable()), default=None)

    def clear(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._finals.clear()
        self._past.clear()

    def _takeable(self) -> list[_OpenUtterance]:
        return [each for each in self._open.values() if each.waiting and not each.is_in_flight]

    def _overflow(self) -> TranslationJob | None:
        if len(self._finals) + len(self._past) <= self.policy.waiting_finals:
            return None
        return (self._past or self._finals).popleft()


def _take(utterance: _OpenUtterance, now: float) -> TranslationJob:
    job = utterance.waiting
    assert job is not None  # noqa: S101 - the caller has looked
    utterance.waiting = None
    utterance.is_in_flight = True
    utterance.last_text = job.text
    utterance.last = now
    utterance.spent += len(job.text)
    return job
