"""Translates conversations for the viewers who read them in another language.

There is one `Interpreter` for each conversation and language that somebody reads. It observes the
conversation: it gets each message after all subscribers, so that it cannot delay the originals. It
translates each text once for all readers, and caches the translation for later ones.
`translation_plan.py` decides what is translated when.

While the translator fails, one call at a time probes it, after growing pauses. Finals wait for it
for up to `TranslationPolicy.final_seconds`; of an utterance's partials only the newest waits.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

import structlog

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation, Subscriber
from ecs_service.conversations.translation_plan import (
    TranslationJob,
    TranslationPlan,
    TranslationPolicy,
)
from transcripts.models import ConversationId, Language, Utterance
from transcripts.protocol import Final, Partial, Snapshot, Translation, TranslationStatus, encode
from translation.base import Translated, Translator
from translation.errors import TranslationError, Unavailable, UnsupportedPair
from translation.languages import same_language

#: A language and a text in it.
_Key = tuple[Language, str]

log = structlog.get_logger(__name__)


class Translations:
    """All interpreters of this server. An async context manager; leaving it cancels all calls."""

    def __init__(
        self, translator: Translator | None, policy: TranslationPolicy | None = None
    ) -> None:
        """Use `translator`; without one there are no languages."""
        self._translator = translator
        self._policy = policy or TranslationPolicy()
        # Interpreters live as long as the hub keeps the conversation, so that a viewer who comes
        # back is served from the cache.
        self._interpreters: WeakKeyDictionary[Conversation, dict[Language, Interpreter]] = (
            WeakKeyDictionary()
        )
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    @property
    def translator(self) -> str | None:
        """The name of the translator."""
        return self._translator.name if self._translator else None

    @property
    def languages(self) -> tuple[Language, ...]:
        """The languages that can be translated into."""
        return self._translator.languages if self._translator else ()

    def target(self, language: Language) -> Language | None:
        """Return which of `languages` a tag means, or `None` if it is none of them."""
        return self._translator.target(language) if self._translator else None

    @contextmanager
    def add_reader(
        self, conversation: Conversation, target: Language, reader: Subscriber, snapshot: Snapshot
    ) -> Iterator[None]:
        """Deliver translations into `target`, one of `languages`, while the context is open.

        `reader` first gets translations of the finals in `snapshot`, as far as they are cached; the
        others follow.
        """
        interpreter = self._interpreter(conversation, target)
        interpreter.add_reader(reader, snapshot)
        conversation.observers.add(interpreter)
        try:
            yield
        finally:
            interpreter.remove_reader(reader)
            if not interpreter.readers:
                conversation.observers.discard(interpreter)

    def _interpreter(self, conversation: Conversation, target: Language) -> Interpreter:
        here = self._interpreters.setdefault(conversation, {})
        if target not in here:
            assert self._translator is not None, "there is no language to read"  # noqa: S101 - as documented
            here[target] = Interpreter(
                conversation.id, self._translator, target, self._policy, self._start_task
            )
        return here[target]

    def _start_task(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)


class Interpreter:
    """Translates one conversation into one language."""

    def __init__(
        self,
        conversation_id: ConversationId,
        translator: Translator,
        target: Language,
        policy: TranslationPolicy,
        start_task: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Make an interpreter; `start_task` runs a coroutine as a task."""
        self.readers: set[Subscriber] = set()
        self._conversation_id = conversation_id
        self._translator = translator
        self._target = target
        self._policy = policy
        self._start_task = start_task
        self._loop = asyncio.get_running_loop()
        self._plan = TranslationPlan(policy)
        self._cache = TranslationCache(policy.cache_characters)
        #: The calls in flight, each with the jobs that wait for its answer.
        self._in_flight: dict[_Key, list[TranslationJob]] = {}
        #: Utterances whose finals wait for a translation or are being translated.
        self._unanswered_finals: set[str] = set()
        self._unsupported: set[Language] = set()
        self._state: Literal["ok", "failing"] = "ok"
        self._failures = 0  # consecutive
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- readers ----------------------------------------------------------------------------

    def add_reader(self, reader: Subscriber, snapshot: Snapshot) -> None:
        """Deliver translations to `reader` from now on, also of the finals in `snapshot`."""
        self.readers.add(reader)
        if self._state == "failing":
            reader.deliver(encode(self._status()))
        for utterance in snapshot.utterances:
            job = self._job(utterance, seq=snapshot.seq, is_final=True, is_past=True)
            known = self._cache.get((job.language, job.text))
            if known is not None and not self._needs_no_translation(job):
                reader.deliver(encode(self._translation(job, known)))
            elif job.utterance_id not in self._unanswered_finals:
                self._queue_final(job)
        self._start_calls()

    def remove_reader(self, reader: Subscriber) -> None:
        """Remove `reader`; after the last one drop the texts that wait."""
        self.readers.discard(reader)
        if not self.readers:
            self._plan.clear()
            in_flight = chain.from_iterable(self._in_flight.values())
            self._unanswered_finals = {job.utterance_id for job in in_flight if job.is_final}
            self._wake_at(None)

    # --- originals --------------------------------------------------------------------------

    def on_published(self, message: Partial | Final) -> None:
        """Take a message that every subscriber has, and handle it after the current callback."""
        self._loop.call_soon(self._handle, message)

    def _handle(self, message: Partial | Final) -> None:
        if not self.readers:
            return
        job = self._job(message, seq=message.seq, is_final=isinstance(message, Final))
        if not job.text:
            self._plan.retract(job)
        elif self._needs_no_translation(job):
            # Nothing to do, unless an earlier partial was in another language and was translated.
            if self._plan.retract(job):
                self._publish(job, Translated(job.text, job.language))
        elif not job.is_final:
            if job.language not in self._unsupported:
                self._plan.add_partial(job)
        elif job.utterance_id not in self._unanswered_finals:
            self._queue_final(job)
        self._start_calls()

    def _queue_final(self, job: TranslationJob) -> None:
        """Queue a final for translation, or answer it at once."""
        self._plan.retract(job)
        if self._needs_no_translation(job):
            return
        if job.language in self._unsupported:
            if not job.is_past:  # else it was counted when it was published
                self._give_up(job)
            return
        self._unanswered_finals.add(job.utterance_id)
        if not self._answer_without_call(job):
            self._give_up(self._plan.add_final(job))

    def _needs_no_translation(self, job: TranslationJob) -> bool:
        """Whether the text is in the target language, as far as the recogniser knows."""
        return not self._translator.detects and same_language(job.language, self._target)

    def _answer_without_call(self, job: TranslationJob) -> bool:
        """Answer from the cache, or join a call in flight; return whether that was possible."""
        key = (job.language, job.text)
        if key in self._in_flight:
            self._in_flight[key].append(job)
            return True
        known = self._cache.get(key)
        if known is None:
            return False
        self._complete(job, known)
        return True

    # --- calls ------------------------------------------------------------------------------

    def _start_calls(self) -> None:
        """Start the calls that may start now, and schedule the next look at the plan."""
        now = self._loop.time()
        calls = 1 if self._failures else self._policy.calls
        while len(self._in_flight) < calls and now >= self._paused_until:
            job = self._plan.take(now)
            if job is None:
                break
            if job.language in self._unsupported or self._is_stale(job):
                self._give_up(job)
            elif not self._answer_without_call(job):
                key = (job.language, job.text)
                self._in_flight[key] = [job]
                self._start_task(self._call(key, is_final=job.is_final))
        due = self._plan.due()
        if due is None or len(self._in_flight) >= calls:
            self._wake_at(None)  # the next message, or the end of a call, comes here again
        else:
            self._wake_at(max(due, self._paused_until))

    def _wake_at(self, moment: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if moment is None else self._loop.call_at(moment, self._start_calls)

    async def _call(self, key: _Key, *, is_final: bool) -> None:
        language, text = key
        telemetry.translation_calls.labels("final" if is_final else "partial").inc()
        try:
            async with asyncio.timeout(self._policy.call_seconds):
                answer = await self._translator.translate(
                    text, source=language, target=self._target
                )
        except TranslationError as error:
            self._on_failure(key, error)
        except TimeoutError:
            self._on_failure(key, Unavailable("no answer in time"))
        except Exception:
            log.exception("translation_crashed", translator=self._translator.name)
            self._on_failure(key, TranslationError("a defect"))
        else:
            self._on_answer(key, answer)
        self._start_calls()

    def _on_answer(self, key: _Key, answer: Translated) -> None:
        telemetry.translation_characters.inc(len(key[1]))
        self._failures = 0
        self._set_state("ok")
        self._cache.put(key, answer)
        for job in self._in_flight.pop(key):
            self._complete(job, answer)

    def _complete(self, job: TranslationJob, answer: Translated) -> None:
        self._plan.complete(job)
        self._unanswered_finals.discard(job.utterance_id)
        if self._plan.accept_answer(job):
            if not job.is_past:
                kind = "final" if job.is_final else "partial"
                telemetry.translation_delay.labels(kind).observe(self._loop.time() - job.since)
            self._publish(job, answer)

    def _on_failure(self, key: _Key, error: TranslationError) -> None:
        name = type(error).__name__
        telemetry.translation_failures.labels(name).inc()
        jobs = self._in_flight.pop(key)
        if isinstance(error, UnsupportedPair):
            # The translator itself is well; only finals in this language will be missing.
            log.warning("language_not_translated", source=key[0], target=self._target)
            # The next text may be in another language than the one that was detected.
            if not self._translator.detects:
                self._unsupported.add(key[0])
        else:
            self._failures += 1
            self._paused_until = self._loop.time() + self._policy.pause(self._failures)
            log.warning("translation_failed", error=name, target=self._target, row=self._failures)
            if self._failures >= self._policy.failures_reported:
                self._set_state("failing")
        for job in jobs:
            self._plan.complete(job, failed=True)
            if not job.is_final:
                continue
            if error.retryable and self.readers and not self._is_stale(job):
                self._give_up(self._plan.requeue(job))
            else:
                self._give_up(job)

    def _is_stale(self, job: TranslationJob) -> bool:
        """Whether the translator fails and a final has waited too long for it."""
        waited = self._loop.time() - job.since
        return bool(self._failures) and job.is_final and waited > self._policy.final_seconds

    def _give_up(self, job: TranslationJob | None) -> None:
        if job is None:
            return
        self._plan.complete(job)
        if job.is_final:
            self._unanswered_finals.discard(job.utterance_id)
            telemetry.translations_missing.inc()
            self._set_state("failing")

    # --- messages to readers ------------------------------------------------------------------

    def _set_state(self, state: Literal["ok", "failing"]) -> None:
        if state != self._state:
            self._state = state
            self._broadcast(encode(self._status()))

    def _publish(self, job: TranslationJob, answer: Translated) -> None:
        self._broadcast(encode(self._translation(job, answer)))

    def _broadcast(self, frame: bytes) -> None:
        for reader in tuple(self.readers):
            reader.deliver(frame)

    def _status(self) -> TranslationStatus:
        return TranslationStatus(
            conversation_id=self._conversation_id, language=self._target, state=self._state
        )

    def _translation(self, job: TranslationJob, answer: Translated) -> Translation:
        return Translation(
            conversation_id=self._conversation_id,
            utterance_id=job.utterance_id,
            source_language=answer.source,
            language=self._target,
            text=answer.text,
            is_final=job.is_final,
            seq=job.seq,
        )

    def _job(
        self,
        message: Partial | Final | Utterance,
        *,
        seq: int,
        is_final: bool,
        is_past: bool = False,
    ) -> TranslationJob:
        return TranslationJob(
            utterance_id=message.utterance_id,
            language=message.language,
            text=message.text.strip(),
            seq=seq,
            is_final=is_final,
            since=self._loop.time(),
            is_past=is_past,
        )


class TranslationCache:
    """A cache of translations that drops the least recently used first."""

    def __init__(self, characters: int) -> None:
        """Hold at most so many characters, of texts and translations together."""
        self._room = characters
        self._known: OrderedDict[_Key, Translated] = OrderedDict()

    def get(self, key: _Key) -> Translated | None:
        """Return the translation, if it is in the cache."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: _Key, answer: Translated) -> None:
        """Add a translation."""
        self._room -= len(key[1]) + len(answer.text)
        self._known[key] = answer
        while self._room < 0:
            (_, text), old = self._known.popitem(last=False)
            self._room += len(text) + len(old.text)
