"""Amazon Translate: calls `TranslateText` in a small pool of threads.

Calls have short timeouts and are not retried here: the caller knows whether a text is still wanted.
A text that is too long for one call is cut at sentences or words, and joined again.

The source is the language that the speech was recognised in, or `auto`: then Translate has Amazon
Comprehend detect it for each text, at Comprehend's price. For short texts the confidence is often
too low; these are translated from the recognised language in a second call.

Source: Amazon Translate Developer Guide, "Guidelines and quotas"; API Reference, "TranslateText".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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

#: The longest text of one call, bytes of UTF-8.
MAX_BYTES = 10_000
#: The source code with which Translate detects the language.
AUTO: Final = "auto"
#: The most concurrent calls, of all conversations together.
CALLS = 16

#: Captions are useful for a few seconds only. `total_max_attempts` includes the first.
_CONFIG = Config(
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
#: An HTTP status from here on is a failure of the service.
_SERVER_ERROR: Final = 500


class TranslateClient(Protocol):
    """The part of botocore's client that is used."""

    def translate_text(self, **request: Any) -> Any:
        """Translate a text."""


def create_client(region: str | None) -> TranslateClient:
    """Create a client for a region of AWS; None uses the region that the AWS SDK is set to.

    Raises:
        NoRegionError: the SDK has no region either.
    """
    made: TranslateClient = boto3.client("translate", region_name=region, config=_CONFIG)
    return made


class AmazonTranslator(Translator):
    """Translates with Amazon Translate."""

    name = "amazon"

    def __init__(
        self,
        client: TranslateClient,
        *,
        languages: Iterable[str] = (),
        terminology: str | None = None,
        detects: bool = False,
    ) -> None:
        """Make a translator; nothing is called yet.

        Args:
            client: a botocore client for `translate`.
            languages: BCP 47 tags of the languages to translate into; by default all.
            terminology: name of a custom terminology in the client's region.
            detects: whether Comprehend, which the region must have, detects the source.

        Raises:
            ValueError: one of `languages` is not known.
        """
        super().__init__(languages, detects=detects)
        self._client = client
        self._terminologies = [terminology] if terminology else []
        self._threads = ThreadPoolExecutor(CALLS, thread_name_prefix="translate")

    async def __aexit__(self, *_: object) -> None:
        """Cancel the calls that have not begun. One in flight ends with its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Translate `text` in as many calls as its length needs.

        Raises:
            TranslationError: the translation failed; see `errors.py`.
        """
        if code_of(source) is None and not self.detects:
            raise UnsupportedPair(f"Amazon Translate does not know the language {source}")
        answers = await asyncio.gather(
            *(self._translate_piece(piece, source, target) for piece in split_text(text))
        )
        # If the pieces are in several languages, the first one's is returned.
        spoken = answers[0].source if answers else source
        return Translated("".join(answer.text for answer in answers), spoken)

    async def _translate_piece(self, piece: str, source: str, target: str) -> Translated:
        core = piece.strip()
        if not core:
            return Translated(piece, source)
        before, _, after = piece.partition(core)
        translate = self._detect_and_call if self.detects else self._call
        answer = await translate(core, source, target)
        return Translated(f"{before}{answer.text}{after}", answer.source)

    async def _detect_and_call(self, text: str, source: str, target: str) -> Translated:
        """Translate from the language that Comprehend detects, else from `source`.

        Raises:
            TranslationError: neither is possible.
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
        # Comprehend does not distinguish variants: it detects es in text recognised as es-MX.
        spoken = source if _is_variant(source, answer.source) else answer.source
        return Translated(text if same_language(spoken, target) else answer.text, spoken)

    async def _call(self, text: str, source: str, target: str) -> Translated:
        """Translate a text that fits one call; with the source `AUTO` the language is detected.

        Raises:
            TranslationError: the call failed; see `errors.py`.
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
            # Not `from error`, which may quote the request.
            raise _to_translation_error(error) from None
        spoken = answer["SourceLanguageCode"] if source == AUTO else source
        return Translated(answer["TranslatedText"], spoken)


def split_text(text: str, limit: int = MAX_BYTES) -> list[str]:
    """Split `text` into pieces of at most `limit` bytes of UTF-8; joined they are `text` again.

    A piece ends with a sentence if one ends in its second half, else with a word, else anywhere.
    `limit` is at least 4, the size of the longest character.
    """
    found: list[str] = []
    rest = text
    while len(rest.encode()) > limit:
        # A character that is cut in the middle goes to the next piece.
        head = rest.encode()[:limit].decode(errors="ignore")
        end = _last(_SENTENCE_END, head) or _last(_SPACE, head) or len(head)
        found.append(rest[:end])
        rest = rest[end:]
    if rest:
        found.append(rest)
    return found


def _is_variant(tag: str, detected: str) -> bool:
    """Return whether a recognised tag is the detected language or a variant of it."""
    return tag.partition("-")[0] == detected.partition("-")[0]


def _last(pattern: re.Pattern[str], head: str) -> int:
    """Return where the last match in the second half of `head` ends; 0 if there is none."""
    return max((match.end() for match in pattern.finditer(head, len(head) // 2)), default=0)


def _to_translation_error(error: ClientError | BotoCoreError) -> TranslationError:
    """Return our exception for an error of botocore."""
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
