"""What is translated next: a pure decision, without a clock or a call of its own.

Finals go first and all of them. Of an utterance that is still spoken only the newest partial
waits, and it waits a little, for the next one may replace it: so a partial is delayed by at most
`Policy.partial_every`. Because each partial repeats the ones before it, to translate all of them
would cost with the square of the utterance's length. So the partials of an utterance may cost at
most `Policy.partial_factor` times its longest text: while it is short each is affordable, later
only one that has grown enough.

Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from foundation.backoff import backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How fast, how much and how patiently is translated. Times are seconds."""

    #: So long the first partial of an utterance waits, which may be half a word.
    first_partial: float = 0.2
    #: Between two translations of an utterance's partials, start to start.
    partial_every: float = 0.4
    #: An utterance's partials may cost so many times the characters of its longest text.
    partial_factor: int = 3
    #: Utterances that are spoken at a time; the one not heard of for longest gives way.
    open_utterances: int = 64
    #: Finals that wait at most; the oldest gives way. A whole snapshot fits, and then some.
    waiting_finals: int = 256
    #: Calls at a time for a conversation and language; one alone while they fail.
    calls: int = 4
    #: A call that takes longer has failed.
    call_seconds: float = 4.0
    #: Pause after a failure; it doubles with each, up to the longest.
    first_pause: float = 0.25
    longest_pause: float = 5.0
    #: So long after it was said, a final is still worth another attempt.
    final_seconds: float = 30.0
    #: Failures in a row after which viewers are told.
    failures_told: int = 2
    #: Characters, of texts and translations, that are remembered.
    remembered: int = 256 * 1024

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures in a row, in seconds."""
        return backoff(failures, first=self.first_pause, longest=self.longest_pause)


@dataclass(slots=True)
class Job:
    """A text that somebody wants to read in another language."""

    utterance_id: str
    #: Of the text, BCP 47.
    language: str
    text: str
    #: Of the message that the text came with.
    seq: int
    is_final: bool
    #: When it was asked for.
    since: float
    #: Whether it was said before anybody asked for it.
    is_past: bool = False


@dataclass(slots=True)
class _Spoken:
    """An utterance that has no final yet."""

    waiting: Job | None = None
    due: float = 0.0
    last: float | None = None  # when a partial was taken
    busy: bool = False
    spent: int = 0
    longest: int = 0
    text: str = ""  # the newest that was taken, or told without
    told: int = -1  # seq of the newest that was told or taken back: no older one is told after it
    shown: bool = False  # whether viewers have it in their language


@dataclass(slots=True)
class Plan:
    """The texts of one conversation that wait to be translated into one language."""

    policy: Policy
    _spoken: dict[str, _Spoken] = field(default_factory=dict)
    _finals: deque[Job] = field(default_factory=deque)
    _past: deque[Job] = field(default_factory=deque)

    def partial(self, job: Job) -> None:
        """Let the newest partial of an utterance wait, in place of the one before.

        One that costs more than is left, or says what was taken last, does not wait.
        """
        spoken = self._spoken.pop(job.utterance_id, None) or _Spoken()
        self._spoken[job.utterance_id] = spoken  # as the newest
        if len(self._spoken) > self.policy.open_utterances:
            del self._spoken[next(iter(self._spoken))]
        spoken.longest = max(spoken.longest, len(job.text))
        if job.text == spoken.text:
            spoken.waiting = None  # it only has other times, or it came back
            return
        if spoken.spent + len(job.text) > self.policy.partial_factor * spoken.longest:
            spoken.waiting = None  # what waited is not what is being said any more
            return
        if spoken.waiting is None:
            spoken.due = (
                job.since + self.policy.first_partial
                if spoken.last is None
                else max(job.since, spoken.last + self.policy.partial_every)
            )
        spoken.waiting = job

    def final(self, job: Job) -> Job | None:
        """Let a final wait, which ends its utterance; return the one that had to give way."""
        self._spoken.pop(job.utterance_id, None)
        (self._past if job.is_past else self._finals).append(job)
        return self._overflow()

    def retract(self, job: Job) -> bool:
        """Let go of what was said of an utterance before `job`, be it waiting or under way.

        Returns whether viewers have a translation of it, which is wrong now.
        """
        spoken = self._spoken.get(job.utterance_id)
        if spoken is None:
            return False
        shown = spoken.shown
        if job.is_final:
            del self._spoken[job.utterance_id]
        spoken.waiting = None
        spoken.text = ""
        spoken.told = job.seq
        spoken.shown = shown and bool(job.text)  # an empty text takes its translation with it
        return shown

    def again(self, job: Job) -> Job | None:
        """Let a final wait once more, before all others; return one that had to give way."""
        (self._past.append if job.is_past else self._finals.appendleft)(job)
        return self._overflow()

    def take(self, now: float) -> Job | None:
        """Return the text to translate now, if there is one. A partial is to be `done`."""
        if self._finals:
            return self._finals.popleft()
        ready = [s for s in self._spoken.values() if s.waiting and not s.busy and s.due <= now]
        if ready:
            return _take(min(ready, key=lambda s: s.due), now)
        # The newest first: the others are about to leave the screen.
        return self._past.pop() if self._past else None

    def done(self, job: Job, *, failed: bool = False) -> None:
        """Tell that a partial has its translation, or will not get it."""
        spoken = self._spoken.get(job.utterance_id)
        if spoken is not None and not job.is_final:
            spoken.busy = False
            if failed:
                spoken.text = ""

    def is_news(self, job: Job) -> bool:
        """Whether viewers should get the translation of `job`; if so, nothing older after it."""
        if job.is_final:
            return True
        spoken = self._spoken.get(job.utterance_id)
        if spoken is None or spoken.told >= job.seq:
            return False
        spoken.told = job.seq
        spoken.shown = True
        return True

    def due(self) -> float | None:
        """Return when there will be something to `take`, if nothing else comes."""
        if self._finals or self._past:
            return 0.0
        return min((s.due for s in self._spoken.values() if s.waiting and not s.busy), default=None)

    def clear(self) -> None:
        """Forget everything."""
        self._spoken.clear()
        self._finals.clear()
        self._past.clear()

    def _overflow(self) -> Job | None:
        if len(self._finals) + len(self._past) <= self.policy.waiting_finals:
            return None
        return (self._past or self._finals).popleft()


def _take(spoken: _Spoken, now: float) -> Job:
    job = spoken.waiting
    assert job is not None  # noqa: S101 - the caller has looked
    spoken.waiting = None
    spoken.busy = True
    spoken.text = job.text
    spoken.last = now
    spoken.spent += len(job.text)
    return job
