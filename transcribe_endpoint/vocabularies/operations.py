"""The calls of Amazon Transcribe's API for vocabularies and filters.

    operations = VocabularyOperations(vocabularies)
    answer = await operations.call("CreateVocabulary", body)

Parameters are validated by Amazon's own model, which botocore contains.

ServiceError
├── UnknownOperation            404 UnknownOperationException
├── Unreadable                  400 SerializationException
└── and those of `vocabularies`
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any, Final

import botocore.session
from botocore.model import ServiceModel

from speech.vocabularies import WrongEntries, parse_filter, parse_vocabulary, violations
from transcribe_endpoint.errors import BadRequest, ServiceError
from transcribe_endpoint.vocabularies.store import StoredVocabulary, Vocabularies

#: Results of a page where a call gives no number.
PAGE: Final = 5
#: Most violations that one message names.
_NAMED: Final = 10

Parameters = Mapping[str, Any]
Answer = dict[str, Any]
#: Returns the file at an `s3://` address. Raises a `ServiceError` where it cannot be read.
Fetch = Callable[[str], Awaitable[bytes]]


class UnknownOperation(ServiceError):
    """This endpoint has no such operation."""

    error_type = "UnknownOperationException"
    status = 404


class Unreadable(ServiceError):
    """The body is no JSON object."""

    error_type = "SerializationException"
    status = 400


class VocabularyOperations:
    """Answers calls.

    Args:
        vocabularies: the vocabularies and filters.
        fetch: reads files in S3; None refuses calls that name one.
    """

    def __init__(self, vocabularies: Vocabularies, fetch: Fetch | None = None) -> None:
        self._vocabularies = vocabularies.vocabularies
        self._filters = vocabularies.filters
        self._fetch = fetch

    async def call(self, operation: str, body: bytes) -> Answer:
        """Return the answer to a call.

        Raises:
            ServiceError: it is refused.
        """
        run = self._known().get(operation)
        if run is None:
            raise UnknownOperation(_unknown(operation, self._known()))
        try:
            parameters = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Unreadable("The body is no JSON.") from error
        if not isinstance(parameters, dict):
            raise Unreadable("The body is no JSON object.")
        _validate(operation, parameters)
        return await run(parameters)

    def _known(self) -> dict[str, Callable[[Parameters], Awaitable[Answer]]]:
        return {
            "CreateVocabulary": self._create_vocabulary,
            "UpdateVocabulary": self._update_vocabulary,
            "GetVocabulary": self._get_vocabulary,
            "ListVocabularies": self._list_vocabularies,
            "DeleteVocabulary": self._delete_vocabulary,
            "CreateVocabularyFilter": self._create_filter,
            "UpdateVocabularyFilter": self._update_filter,
            "GetVocabularyFilter": self._get_filter,
            "ListVocabularyFilters": self._list_filters,
            "DeleteVocabularyFilter": self._delete_filter,
        }

    # --- vocabularies ---------------------------------------------------------------------

    async def _create_vocabulary(self, asked: Parameters) -> Answer:
        phrases = await self._phrases(asked)
        made = self._vocabularies.create(asked["VocabularyName"], asked["LanguageCode"], phrases)
        return self._described(made)

    async def _update_vocabulary(self, asked: Parameters) -> Answer:
        self._vocabularies.get(asked["VocabularyName"])
        phrases = await self._phrases(asked)
        made = self._vocabularies.update(asked["VocabularyName"], asked["LanguageCode"], phrases)
        return self._described(made)

    async def _get_vocabulary(self, asked: Parameters) -> Answer:
        found = self._vocabularies.get(asked["VocabularyName"])
        reason = found.failure if self._vocabularies.state(found) == "FAILED" else None
        return self._described(found) | ({"FailureReason": reason} if reason else {})

    async def _list_vocabularies(self, asked: Parameters) -> Answer:
        wanted = asked.get("StateEquals")
        page, more = _page(
            (
                entry
                for entry in self._vocabularies.newest_first()
                if wanted in {None, self._vocabularies.state(entry)}
            ),
            asked,
        )
        status = {"Status": wanted} if wanted else {}
        return status | more | {"Vocabularies": [self._described(entry) for entry in page]}

    async def _delete_vocabulary(self, asked: Parameters) -> Answer:
        self._vocabularies.delete(asked["VocabularyName"])
        return {}

    def _described(self, entry: StoredVocabulary) -> Answer:
        return {
            "VocabularyName": entry.name,
            "LanguageCode": entry.language_code,
            "LastModifiedTime": entry.modified,
            "VocabularyState": self._vocabularies.state(entry),
        }

    async def _phrases(self, asked: Parameters) -> Iterable[str]:
        """Return the phrases in a call, or those in the file that it names.

        Raises:
            BadRequest: it has both or neither, or the file is no vocabulary.
        """
        given = await self._one_of(asked, "Phrases", "VocabularyFileUri")
        if not isinstance(given, bytes):
            return given
        try:
            return parse_vocabulary(given).phrases
        except WrongEntries as error:
            raise BadRequest(f"The vocabulary file is not valid: {error}.") from error

    # --- filters --------------------------------------------------------------------------

    async def _create_filter(self, asked: Parameters) -> Answer:
        words = await self._words(asked)
        name, language = asked["VocabularyFilterName"], asked["LanguageCode"]
        return _described_filter(self._filters.create(name, language, words))

    async def _update_filter(self, asked: Parameters) -> Answer:
        self._filters.get(asked["VocabularyFilterName"])
        words = await self._words(asked)
        return _described_filter(self._filters.update(asked["VocabularyFilterName"], None, words))

    async def _get_filter(self, asked: Parameters) -> Answer:
        return _described_filter(self._filters.get(asked["VocabularyFilterName"]))

    async def _list_filters(self, asked: Parameters) -> Answer:
        page, more = _page(self._filters.newest_first(), asked)
        return more | {"VocabularyFilters": [_described_filter(entry) for entry in page]}

    async def _delete_filter(self, asked: Parameters) -> Answer:
        self._filters.delete(asked["VocabularyFilterName"])
        return {}

    async def _words(self, asked: Parameters) -> Iterable[str]:
        given = await self._one_of(asked, "Words", "VocabularyFilterFileUri")
        if not isinstance(given, bytes):
            return given
        try:
            return parse_filter(given).phrases
        except WrongEntries as error:
            raise BadRequest(f"The vocabulary filter file is not valid: {error}.") from error

    # --- both -----------------------------------------------------------------------------

    async def _one_of(self, asked: Parameters, inline: str, in_s3: str) -> list[str] | bytes:
        """Return the words in a call, or the content of the file that it names.

        Raises:
            ServiceError: it has both or neither, or the file cannot be read.
        """
        words, address = asked.get(inline), asked.get(in_s3)
        if (words is None) == (address is None):
            raise BadRequest(f"You must specify either {inline} or {in_s3}.")
        if words is not None:
            return list(words)
        if self._fetch is None:
            raise BadRequest(
                f"This endpoint reads no files in S3: it was started without --s3-endpoint. "
                f"Send {inline} instead of {in_s3}."
            )
        return await self._fetch(str(address))


def _described_filter(entry: StoredVocabulary) -> Answer:
    return {
        "VocabularyFilterName": entry.name,
        "LanguageCode": entry.language_code,
        "LastModifiedTime": entry.modified,
    }


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


def _validate(operation: str, parameters: Parameters) -> None:
    """Accept parameters that Amazon's model allows.

    Raises:
        BadRequest: it does not allow them.
    """
    shape = _model().operation_model(operation).input_shape
    found = list(islice(violations(shape, parameters), _NAMED))
    if found:
        plural = "s" if len(found) > 1 else ""
        raise BadRequest(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")


def _unknown(operation: str, known: Iterable[str]) -> str:
    if operation in _model().operation_names:
        return f"This local endpoint has no {operation}. It has {', '.join(known)}, and streams."
    return "Amazon Transcribe has no such operation."
