"""Amazon Translate: `TranslateText` calls in a small pool of threads.

Calls are short and never retried here: who shows captions knows better whether a text is still
wanted. What is longer than one call takes is cut at a sentence or a word, and put together again.

The source is the language that the speech was recognised in, or `auto`: then Translate has Amazon
Comprehend detect it for each text, at Comprehend's price. Short texts are often not certain enough;
they are translated from the recognised language in a second call.

Source: Amazon Translate Developer Guide, "Guidelines and quotas"; API Reference, "TranslateText".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from translation.base import Translated, Translator
from translation.errors import (
    AccessDenied,
    Refused,
    TextTooLong,
    Throttled,
    TranslationError,
    Unavailable,
    Undetected,
    UnsupportedPair,
)
from translation.languages import code_of, same_language

#: The longest text of one call, UTF-8.
MAX_BYTES = 10_000
#: In place of a source: Translate is to detect it.
AUTO: Final = "auto"
#: Calls at a time, of all conversations together.
CALLS = 16

#: A caption is worth something for a few seconds only. `total_max_attempts` counts the first.
_PATIENCE = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CALLS,
)

_SENTENCE_END: Final = re.compile(r"[.!?…](?=\s)|[。！？]|\n")  # noqa: RUF001 - full width, as written
_SPACE: Final = re.compile(r"\s")

_BY_CODE: Final[dict[str, type[TranslationError]]] = {
    "TooManyRequestsException": Throttled,
    "LimitExceededException": Throttled,
    "ThrottlingException": Throttled,
    "InternalServerException": Unavailable,
    "ServiceUnavailableException": Unavailable,
    "UnsupportedLanguagePairException": UnsupportedPair,
    "DetectedLanguageLowConfidenceException": Undetected,
    "TextSizeLimitExceededException": TextTooLong,
    "AccessDeniedException": AccessDenied,
    "ExpiredTokenException": AccessDenied,
    "IncompleteSignatureException": AccessDenied,
    "InvalidSignatureException": AccessDenied,
    "MissingAuthenticationTokenException": AccessDenied,
    "NotAuthorizedException": AccessDenied,
    "OptInRequired": AccessDenied,
    "SubscriptionRequiredException": AccessDenied,
    "UnrecognizedClientException": AccessDenied,
}
#: From here on an HTTP status is the service's own failure.
_SERVER_ERROR: Final = 500


class Client(Protocol):
    """What is used of botocore's client."""

    def translate_text(self, **request: Any) -> Any:
        """Translate a text."""


def client(region: str | None) -> Client:
    """Return a client for a region of AWS; `None` leaves it to the AWS SDK's own settings.

    Raises:
        NoRegionError: the SDK has none either.
    """
    made: Client = boto3.client("translate", region_name=region, config=_PATIENCE)
    return made


class AmazonTranslator(Translator):
    """Translates with Amazon Translate."""

    name = "amazon"

    def __init__(
        self,
        client: Client,
        *,
        languages: Iterable[str] = (),
        terminology: str | None = None,
        detects: bool = False,
    ) -> None:
        """Make a translator; nothing is called yet.

        Args:
            client: of botocore, for `translate`.
            languages: to translate into, BCP 47 tags; by default all.
            terminology: name of a custom terminology, which must be in the client's region.
            detects: whether Comprehend detects the source, which the region must have as well.

        Raises:
            ValueError: one of `languages` is not known.
        """
        super().__init__(languages, detects=detects)
        self._client = client
        self._terminologies = [terminology] if terminology else []
        self._threads = ThreadPoolExecutor(CALLS, thread_name_prefix="translate")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Call no more. A call that is under way ends by its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Return the translation, in as many calls as the length needs.

        Raises:
            TranslationError: see `errors.py`.
        """
        if code_of(source) is None and not self.detects:
            raise UnsupportedPair(f"Amazon Translate does not know the language {source}")
        answers = await asyncio.gather(
            *(self._piece(piece, source, target) for piece in pieces(text))
        )
        # Of a text in several languages the first counts.
        spoken = answers[0].source if answers else source
        return Translated("".join(answer.text for answer in answers), spoken)

    async def _piece(self, piece: str, source: str, target: str) -> Translated:
        core = piece.strip()
        if not core:
            return Translated(piece, source)
        before, _, after = piece.partition(core)
        translate = self._detected if self.detects else self._call
        answer = await translate(core, source, target)
        return Translated(f"{before}{answer.text}{after}", answer.source)

    async def _detected(self, text: str, source: str, target: str) -> Translated:
        """Return the translation from the language that Comprehend detects.

        Raises:
            TranslationError: it cannot be had from that language, nor from `source`.
        """
        try:
            answer = await self._call(text, AUTO, target)
        except UnsupportedPair as error:
            detected = error.detected
            is_certain = not isinstance(error, Undetected)
            if is_certain and detected is not None and same_language(detected, target):
                return Translated(text, detected)
            fallback = source if code_of(source) else detected
            if fallback is None or code_of(fallback) is None:
                raise
            if same_language(fallback, target):
                return Translated(text, fallback)
            return await self._call(text, fallback, target)
        # Comprehend knows no variants: what was recognised as es-MX is detected as es.
        spoken = source if _is_variant(source, answer.source) else answer.source
        return Translated(text if same_language(spoken, target) else answer.text, spoken)

    async def _call(self, text: str, source: str, target: str) -> Translated:
        """Return the translation of a text that fits one call; `AUTO` has its source detected.

        Raises:
            TranslationError: see `errors.py`.
        """
        call = partial(
            self._client.translate_text,
            Text=text,
            SourceLanguageCode=AUTO if source == AUTO else code_of(source),
            TargetLanguageCode=target,
            TerminologyNames=self._terminologies,
        )
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (ClientError, BotoCoreError) as error:
            # Not `from error`: it may quote the request.
            raise _named(error) from None
        spoken = answer["SourceLanguageCode"] if source == AUTO else source
        return Translated(answer["TranslatedText"], spoken)


def pieces(text: str, limit: int = MAX_BYTES) -> list[str]:
    """Cut `text` into pieces of at most `limit` bytes of UTF-8, which make it up again.

    A piece ends with a sentence if one ends in its second half, else with a word, else anywhere.
    `limit` is at least 4, the longest character.
    """
    found: list[str] = []
    rest = text
    while len(rest.encode()) > limit:
        # What is cut in the middle of a character goes to the next piece.
        head = rest.encode()[:limit].decode(errors="ignore")
        end = _last(_SENTENCE_END, head) or _last(_SPACE, head) or len(head)
        found.append(rest[:end])
        rest = rest[end:]
    if rest:
        found.append(rest)
    return found


def _is_variant(tag: str, detected: str) -> bool:
    """Whether a recognised tag is the detected language or a variant of it."""
    return tag.partition("-")[0] == detected.partition("-")[0]


def _last(pattern: re.Pattern[str], head: str) -> int:
    """Return where the last match in the second half of `head` ends, 0 if there is none."""
    return max((match.end() for match in pattern.finditer(head, len(head) // 2)), default=0)


def _named(error: ClientError | BotoCoreError) -> TranslationError:
    """Return our name for an error of botocore."""
    if not isinstance(error, ClientError):
        missing = isinstance(
            error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError
        )
        return (AccessDenied if missing else Unavailable)(type(error).__name__)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = _BY_CODE.get(code) or (Unavailable if status >= _SERVER_ERROR else Refused)
    named = kind(f"Amazon Translate: {code[:64]}, HTTP {status}")
    if isinstance(named, UnsupportedPair):
        answer: Mapping[str, Any] = error.response
        named.detected = answer.get("DetectedLanguageCode") or answer.get("SourceLanguageCode")
    return named
