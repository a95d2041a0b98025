"""The account's vocabularies and vocabulary filters, kept in memory.

A vocabulary is PENDING for a moment after each change, then READY or, with a reason, FAILED. It
does not change what is recognised. A filter masks, removes or tags its words in results.

An unknown name is a BadRequest: Amazon's model has NotFoundException as well, but its service
answers with BadRequestException, on which Terraform's provider for AWS relies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from speech.vocabularies import MAX_BYTES, phrase_problem, unsupported, word_problem
from transcribe_endpoint.errors import BadRequest, Conflict, LimitExceeded
from transcribe_endpoint.faults import VOCABULARY_PREFIX
from transcribe_endpoint.requests import TranscribeRequest

#: Most vocabularies of an account, and most filters. AWS raises both quotas on request.
MOST: Final = 100
#: Seconds for which a vocabulary is PENDING; Amazon takes minutes.
PENDING_SECONDS: Final = 1.0

_NOT_FOUND: Final = (
    "The requested {kind} couldn't be found. Check the {kind} name and try your request again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVocabulary:
    """An entry of the store: a vocabulary or a filter."""

    name: str
    language_code: str
    words: frozenset[str] = field(repr=False)
    #: Seconds since 1970.
    modified: float
    #: Number in the order of creation.
    number: int
    #: When it stops being PENDING, by the store's clock.
    ready_at: float
    failure: str | None = None

    def state(self, now: float) -> str:
        """Return PENDING, READY or FAILED."""
        if now < self.ready_at:
            return "PENDING"
        return "READY" if self.failure is None else "FAILED"


class VocabularyStore:
    """All vocabularies, or all filters.

    Args:
        kind: their name in messages.
        problem_of: returns what is wrong with a word, or None.
        has_states: whether a wrong word makes a vocabulary FAILED; else the call is refused.
        pending_seconds: how long a vocabulary is PENDING after a change.
        clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        kind: str,
        problem_of: Callable[[str], str | None],
        *,
        has_states: bool = False,
        pending_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._has_states = has_states
        self.kind = kind
        self._problem_of = problem_of
        self._pending_seconds = pending_seconds
        self._clock = clock
        self._entries: dict[str, StoredVocabulary] = {}
        self._created = 0

    def create(self, name: str, language_code: str, words: Iterable[str]) -> StoredVocabulary:
        """Store a new entry.

        Raises:
            Conflict: the name is taken.
            LimitExceeded: there are too many.
            BadRequest: it is too large, or a filter with a wrong word.
        """
        if name in self._entries:
            raise Conflict(
                f"The requested {self.kind} name already exists. "
                "Use a different name and try your request again."
            )
        if len(self._entries) >= MOST:
            raise LimitExceeded(
                f"Your account has its {MOST} resources of the kind {self.kind}. "
                "Delete one and try your request again."
            )
        made = self._keep(name, language_code, words, self._created)
        self._created += 1
        return made

    def declare(self, name: str) -> None:
        """Store an entry without words that is READY at once."""
        made = self.create(name, "en-US", ())
        self._entries[name] = replace(made, ready_at=self._clock())

    def update(
        self, name: str, language_code: str | None, words: Iterable[str]
    ) -> StoredVocabulary:
        """Replace the words, and the language where one is given.

        Raises:
            BadRequest: the name is unknown, it is too large, or a filter with a wrong word.
        """
        found = self.get(name)
        return self._keep(name, language_code or found.language_code, words, found.number)

    def get(self, name: str) -> StoredVocabulary:
        """Return the entry of this name.

        Raises:
            BadRequest: the name is unknown.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise BadRequest(_NOT_FOUND.format(kind=self.kind)) from None

    def delete(self, name: str) -> None:
        """Remove the entry of this name.

        Raises:
            BadRequest: the name is unknown.
        """
        self.get(name)
        del self._entries[name]

    def newest_first(self) -> list[StoredVocabulary]:
        """Return all entries, the newest first."""
        return sorted(self._entries.values(), key=lambda entry: -entry.number)

    def state(self, entry: StoredVocabulary) -> str:
        """Return PENDING, READY or FAILED."""
        return entry.state(self._clock())

    def usable(self, names: Iterable[str]) -> Iterator[StoredVocabulary]:
        """Yield the entries that a stream names.

        Raises:
            BadRequest: a name is unknown, or its vocabulary is not READY.
        """
        for name in names:
            entry = self.get(name)
            state = self.state(entry)
            if state != "READY":
                raise BadRequest(f"The requested {self.kind} is {state}, and not READY.")
            yield entry

    def _keep(
        self, name: str, language_code: str, words: Iterable[str], number: int
    ) -> StoredVocabulary:
        kept = tuple(words)
        if sum(len(word.encode(errors="replace")) + 1 for word in kept) > MAX_BYTES:
            raise BadRequest(f"The {self.kind} is larger than {MAX_BYTES} bytes.")
        failure = self._failure(kept)
        if failure is not None and not self._has_states:
            raise BadRequest(failure)
        self._entries[name] = entry = StoredVocabulary(
            name=name,
            language_code=language_code,
            words=frozenset(word.casefold() for word in kept),
            modified=time.time(),
            number=number,
            ready_at=self._clock() + self._pending_seconds,
            failure=failure,
        )
        return entry

    def _failure(self, words: tuple[str, ...]) -> str | None:
        for number, word in enumerate(words, 1):
            problem = self._problem_of(word)
            strange = unsupported(word)
            if problem is None and strange is not None:
                problem = f"unsupported character U+{ord(strange):04X}"
            if problem is not None:
                return f"Entry {number} of the {self.kind} cannot be used: {problem}."
        return None


class Vocabularies:
    """The vocabularies and filters that streams may name.

    Args:
        pending_seconds: how long a vocabulary is PENDING after a change.
        clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        pending_seconds: float = PENDING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vocabularies = VocabularyStore(
            "vocabulary",
            phrase_problem,
            has_states=True,
            pending_seconds=pending_seconds,
            clock=clock,
        )
        #: Filters have no state at Amazon: they are usable at once, or refused.
        self.filters = VocabularyStore("vocabulary filter", word_problem, clock=clock)

    def resolve(self, request: TranscribeRequest) -> TranscribeRequest:
        """Return the request with the words of the filters that it names.

        Raises:
            BadRequest: it names one that is unknown or not READY.
        """
        named = (n for n in request.vocabulary_names if not n.startswith(VOCABULARY_PREFIX))
        for _ in self.vocabularies.usable(named):
            pass  # only its existence and state matter
        words: dict[str, frozenset[str]] = {}
        for entry in self.filters.usable(request.vocabulary_filter_names):
            language = entry.language_code
            words[language] = words.get(language, frozenset()) | entry.words
        return replace(request, filtered_words=words) if words else request
