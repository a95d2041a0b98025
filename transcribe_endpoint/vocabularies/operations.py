"""The calls of Amazon Transcribe's API for vocabularies and filters.

    operations = VocabularyOperations(vocabularies)
    answer = await operations.call("CreateVocabulary", body)

Parameters are validated by Amazon's own model, which botocore contains.

ServiceError
├── Unreadable                  400 SerializationException
└── and those of `vocabularies`
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any, Final

import botocore.session
from botocore.model import ServiceModel

from speech.vocabularies import Entries, WrongEntries, parse_filter, parse_vocabulary, violations
from transcribe_endpoint.errors import BadRequest, ServiceError, UnknownOperation
from transcribe_endpoint.vocabularies.store import StoredVocabulary, Vocabularies, VocabularyStore

#: Results of a page where a call gives no number.
PAGE: Final = 5
#: Most violations that one message names.
_NAMED: Final = 10

Parameters = Mapping[str, Any]
Answer = dict[str, Any]
#: Returns the file at an `s3://` address. Raises a `ServiceError` where it cannot be read.
Fetch = Callable[[str], Awaitable[bytes]]


class Unreadable(ServiceError):
    """The body is no JSON object."""

    error_type = "SerializationException"
    status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """The names that differ between calls about vocabularies and calls about filters."""

    store: VocabularyStore
    noun: str
    plural: str
    #: The member with the words themselves.
    inline: str
    #: Parses the words in a file.
    parse: Callable[[bytes], Entries]
    #: Whether calls and answers have the member `VocabularyState`.
    has_states: bool = False

    def name_in(self, asked: Parameters) -> str:
        return str(asked[f"{self.noun}Name"])

    def describe(self, entry: StoredVocabulary) -> Answer:
        """Return the members that every answer about an entry has."""
        states = {"VocabularyState": self.store.state(entry)} if self.has_states else {}
        return states | {
            f"{self.noun}Name": entry.name,
            "LanguageCode": entry.language_code,
            "LastModifiedTime": entry.modified,
        }


class VocabularyOperations:
    """Answers the calls about vocabularies and filters.

    Args:
        vocabularies: the vocabularies and filters.
        fetch: reads files in S3; None refuses calls that name one.
    """

    def __init__(self, vocabularies: Vocabularies, fetch: Fetch | None = None) -> None:
        self._fetch = fetch
        kinds = (
            _Kind(
                store=vocabularies.vocabularies,
                noun="Vocabulary",
                plural="Vocabularies",
                inline="Phrases",
                parse=parse_vocabulary,
                has_states=True,
            ),
            _Kind(
                store=vocabularies.filters,
                noun="VocabularyFilter",
                plural="VocabularyFilters",
                inline="Words",
                parse=parse_filter,
            ),
        )
        self._calls = {
            name: partial(run, kind)
            for kind in kinds
            for name, run in (
                (f"Create{kind.noun}", self._create),
                (f"Update{kind.noun}", self._update),
                (f"Get{kind.noun}", self._get),
                (f"List{kind.plural}", self._list),
                (f"Delete{kind.noun}", self._delete),
            )
        }

    async def call(self, operation: str, body: bytes) -> Answer:
        """Return the answer to a call.

        Raises:
            ServiceError: it is refused.
        """
        run = self._calls.get(operation)
        if run is None:
            raise UnknownOperation(_unknown(operation, self._calls))
        try:
            parameters = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Unreadable("The body is no JSON.") from error
        if not isinstance(parameters, dict):
            raise Unreadable("The body is no JSON object.")
        return await run(_validated(operation, parameters))

    async def _create(self, kind: _Kind, asked: Parameters) -> Answer:
        words = await self._words(kind, asked)
        return kind.describe(kind.store.create(kind.name_in(asked), asked["LanguageCode"], words))

    async def _update(self, kind: _Kind, asked: Parameters) -> Answer:
        name = kind.name_in(asked)
        kind.store.get(name)  # an unknown name is refused before a file is read
        words = await self._words(kind, asked)
        return kind.describe(kind.store.update(name, asked.get("LanguageCode"), words))

    async def _get(self, kind: _Kind, asked: Parameters) -> Answer:
        found = kind.store.get(kind.name_in(asked))
        reason = found.failure if kind.store.state(found) == "FAILED" else None
        return kind.describe(found) | ({"FailureReason": reason} if reason else {})

    async def _list(self, kind: _Kind, asked: Parameters) -> Answer:
        wanted = asked.get("StateEquals")
        entries = (e for e in kind.store.newest_first() if wanted in {None, kind.store.state(e)})
        page, more = _page(entries, asked)
        status = {"Status": wanted} if wanted else {}
        return status | more | {kind.plural: [kind.describe(entry) for entry in page]}

    async def _delete(self, kind: _Kind, asked: Parameters) -> Answer:
        kind.store.delete(kind.name_in(asked))
        return {}

    async def _words(self, kind: _Kind, asked: Parameters) -> Iterable[str]:
        """Return the words in a call, or those in the file that it names.

        Raises:
            ServiceError: it has both or neither, or the file cannot be read or used.
        """
        in_s3 = f"{kind.noun}FileUri"
        words, address = asked.get(kind.inline), asked.get(in_s3)
        if (words is None) == (address is None):
            raise BadRequest(f"You must specify either {kind.inline} or {in_s3}.")
        if words is not None:
            return list(words)
        if self._fetch is None:
            raise BadRequest(
                f"This endpoint reads no files in S3: it was started without --s3-endpoint. "
                f"Send {kind.inline} instead of {in_s3}."
            )
        try:
            return kind.parse(await self._fetch(str(address))).phrases
        except WrongEntries as error:
            raise BadRequest(f"The {kind.store.kind} file is not valid: {error}.") from error


# --- pages ----------------------------------------------------------------------------------


def _page(
    entries: Iterable[StoredVocabulary], asked: Parameters
) -> tuple[list[StoredVocabulary], Answer]:
    """Return a page, newest first, and the token of the next page if there is one.

    The token names the last entry of a page, so that entries which are created or deleted between
    two calls neither repeat nor hide others.

    Raises:
        BadRequest: the token is not valid.
    """
    before = _number(asked.get("NextToken"))
    part = str(asked.get("NameContains") or "").casefold()
    left = [
        entry
        for entry in entries
        if part in entry.name.casefold() and (before is None or entry.number < before)
    ]
    size = int(asked.get("MaxResults") or PAGE)
    page = left[:size]
    more = {"NextToken": _token(page[-1].number)} if len(left) > size else {}
    return page, more


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(f"before {number}".encode()).decode()


def _number(token: object) -> int | None:
    if token is None:
        return None
    try:
        word, _, number = base64.urlsafe_b64decode(str(token)).decode().partition(" ")
        if word == "before":
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise BadRequest("The NextToken is not valid.")


# --- the model ------------------------------------------------------------------------------


@cache
def _model() -> ServiceModel:
    return botocore.session.Session().get_service_model("transcribe")


def _validated(operation: str, parameters: Parameters) -> Parameters:
    """Return the parameters that Amazon's model knows; others are ignored.

    Raises:
        BadRequest: it does not allow their values, or one is missing.
    """
    shape = _model().operation_model(operation).input_shape
    found = list(islice(violations(shape, parameters), _NAMED))
    if found:
        plural = "s" if len(found) > 1 else ""
        raise BadRequest(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")
    known = shape.members if shape else {}
    return {name: value for name, value in parameters.items() if name in known}


def _unknown(operation: str, known: Iterable[str]) -> str:
    if operation in _model().operation_names:
        return f"This local endpoint has no {operation}. It has {', '.join(known)}, and streams."
    return "Amazon Transcribe has no such operation."
