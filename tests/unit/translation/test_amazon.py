"""Amazon Translate as botocore describes it; nothing here was seen on AWS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from translation.amazon import MAX_BYTES, AmazonTranslator, create_client, split_text
from translation.base import Translated
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

pytestmark = pytest.mark.unit

PRIVATE = "what was said in confidence"


@pytest.fixture
def stubbed() -> Iterator[tuple[Any, Stubber]]:
    translate = boto3.client(
        "translate",
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - no secret
    )
    with Stubber(translate) as stubber:
        yield translate, stubber


def answer(text: str) -> dict[str, str]:
    return {"TranslatedText": text, "SourceLanguageCode": "en", "TargetLanguageCode": "fr"}


async def test_it_asks_in_the_services_own_codes(stubbed: tuple[Any, Stubber]) -> None:
    translate, stubber = stubbed
    stubber.add_response(
        "translate_text",
        answer("bonjour"),
        {
            "Text": "hello",
            "SourceLanguageCode": "en",
            "TargetLanguageCode": "fr-CA",
            "TerminologyNames": ["glossary"],
        },
    )
    async with AmazonTranslator(translate, terminology="glossary") as translator:
        target = translator.target("fr-CA")
        assert target is not None
        answered = await translator.translate("hello", source="en-US", target=target)

    assert answered == Translated("bonjour", "en-US")
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("TooManyRequestsException", 400, Throttled, True),
        ("ThrottlingException", 400, Throttled, True),
        ("ServiceUnavailableException", 500, Unavailable, True),
        ("InternalServerException", 500, Unavailable, True),
        ("SomethingNew", 503, Unavailable, True),
        ("UnsupportedLanguagePairException", 400, UnsupportedPair, False),
        ("TextSizeLimitExceededException", 400, TextTooLong, False),
        ("AccessDeniedException", 400, AccessDenied, False),
        ("UnrecognizedClientException", 400, AccessDenied, False),
        ("ResourceNotFoundException", 400, Refused, False),
        ("SomethingNew", 404, Refused, False),
    ],
)
async def test_what_the_service_refuses_has_our_name_and_no_text(
    stubbed: tuple[Any, Stubber],
    code: str,
    status: int,
    kind: type[TranslationError],
    retryable: bool,  # noqa: FBT001 - a case of the table
) -> None:
    translate, stubber = stubbed
    stubber.add_client_error("translate_text", code, f"wrong: {PRIVATE}", http_status_code=status)
    async with AmazonTranslator(translate) as translator:
        with pytest.raises(TranslationError) as caught:
            await translator.translate(PRIVATE, source="en-US", target="fr")

    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert code in str(caught.value)
    assert PRIVATE not in str(caught.value)
    assert caught.value.__cause__ is None


class Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def translate_text(self, **_: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="https://translate.example"), Unavailable),
        (ReadTimeoutError(endpoint_url="https://translate.example"), Unavailable),
        (NoCredentialsError(), AccessDenied),
    ],
)
async def test_what_does_not_reach_the_service_has_our_name(
    error: Exception, kind: type[TranslationError]
) -> None:
    async with AmazonTranslator(Failing(error)) as translator:
        with pytest.raises(kind):
            await translator.translate("hello", source="en-US", target="fr")


async def test_a_language_that_the_service_does_not_know_is_not_asked_for(
    stubbed: tuple[Any, Stubber],
) -> None:
    async with AmazonTranslator(stubbed[0]) as translator:
        with pytest.raises(UnsupportedPair, match="eu-ES"):
            await translator.translate("kaixo", source="eu-ES", target="fr")


class Shouting:
    """Translates into capitals, and minds the length."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def translate_text(self, **request: Any) -> Any:
        text = request["Text"]
        assert 1 <= len(text.encode()) <= MAX_BYTES
        self.calls.append(text)
        return answer(text.upper())


async def test_a_long_text_goes_in_pieces_and_comes_back_as_one() -> None:
    service = Shouting()
    text = "\n".join(f"this is sentence {n}. it is followed by another." for n in range(500))
    async with AmazonTranslator(service) as translator:
        translated = await translator.translate(text, source="en-US", target="fr")

    assert translated.text == text.upper()
    assert len(service.calls) == 3
    assert all(call.endswith(".") for call in service.calls)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(4, 40))
def test_pieces_fit_and_make_up_the_text(text: str, limit: int) -> None:
    found = split_text(text, limit)

    assert "".join(found) == text
    assert all(1 <= len(piece.encode()) <= limit for piece in found)


def test_words_stay_whole_where_they_can() -> None:
    assert split_text("one two three four", 10) == ["one two ", "three four"]
    assert split_text("one. two three four five", 16) == ["one. two three ", "four five"]
    assert split_text("first one. second", 16) == ["first one.", " second"]


def test_a_call_gives_up_soon_and_is_not_repeated_behind_our_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    config = create_client("eu-central-1").meta.config  # type: ignore[attr-defined] # botocore's own

    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries["total_max_attempts"] == 1


async def test_calls_run_beside_each_other() -> None:
    arrived = asyncio.Barrier(3)
    loop = asyncio.get_running_loop()

    class Meeting:
        def translate_text(self, **_: Any) -> Any:
            asyncio.run_coroutine_threadsafe(arrived.wait(), loop).result(10)
            return answer("ok")

    async with AmazonTranslator(Meeting()) as translator, asyncio.timeout(10):
        answers = await asyncio.gather(
            *(translator.translate(f"text {n}", source="en-US", target="fr") for n in range(3))
        )

    assert [each.text for each in answers] == ["ok"] * 3


# --- the source is detected ---------------------------------------------------------------------

LOW, UNSUPPORTED = "DetectedLanguageLowConfidenceException", "UnsupportedLanguagePairException"


def asked(
    stubber: Stubber, source: str, answered: tuple[str, str] | None = None, /, **error: str
) -> None:
    """Expect a call; it is answered by a text and its source, or by an error."""
    request = {
        "Text": "ciao",
        "SourceLanguageCode": source,
        "TargetLanguageCode": "fr",
        "TerminologyNames": [],
    }
    if answered is not None:
        text, spoken = answered
        response = {
            "TranslatedText": text,
            "SourceLanguageCode": spoken,
            "TargetLanguageCode": "fr",
        }
        stubber.add_response("translate_text", response, request)
    else:
        code = error.pop("code")
        stubber.add_client_error(
            "translate_text",
            code,
            http_status_code=400,
            expected_params=request,
            modeled_fields=error,
        )


async def detected(translate: Any, source: str) -> Translated:
    async with AmazonTranslator(translate, detects=True) as translator:
        return await translator.translate("ciao", source=source, target="fr")


async def test_what_is_detected_is_translated_whatever_was_recognised(
    stubbed: tuple[Any, Stubber],
) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", ("salut", "it"))

    assert await detected(translate, "en-US") == Translated("salut", "it")


@pytest.mark.parametrize("recognised", ["en-US", "fr-FR", "eu-ES"])
async def test_what_is_detected_as_the_viewers_language_stays_as_it_is(
    stubbed: tuple[Any, Stubber], recognised: str
) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", ("something else", "fr"))

    assert (await detected(translate, recognised)).text == "ciao"


async def test_a_pair_of_one_language_is_no_failure(stubbed: tuple[Any, Stubber]) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", code=UNSUPPORTED, SourceLanguageCode="fr", TargetLanguageCode="fr")

    assert await detected(translate, "en-US") == Translated("ciao", "fr")


@pytest.mark.parametrize(
    "error",
    [
        {"code": LOW, "DetectedLanguageCode": "la"},
        {"code": LOW, "DetectedLanguageCode": "fr"},  # the viewer's own, but not for certain
        {"code": UNSUPPORTED, "SourceLanguageCode": "la", "TargetLanguageCode": "fr"},
    ],
)
async def test_where_detection_does_not_do_the_recognised_language_counts(
    stubbed: tuple[Any, Stubber], error: dict[str, str]
) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", **error)
    asked(stubber, "it", ("salut", "it"))

    assert await detected(translate, "it-IT") == Translated("salut", "it-IT")
    stubber.assert_no_pending_responses()


async def test_an_uncertain_text_that_was_recognised_in_the_viewers_language_stays(
    stubbed: tuple[Any, Stubber],
) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", code=LOW, DetectedLanguageCode="it")

    assert await detected(translate, "fr-FR") == Translated("ciao", "fr-FR")


async def test_an_uncertain_detection_is_better_than_an_unknown_language(
    stubbed: tuple[Any, Stubber],
) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", code=LOW, DetectedLanguageCode="es")
    asked(stubber, "es", ("salut", "es"))

    assert await detected(translate, "eu-ES") == Translated("salut", "es")


async def test_an_undetected_language_has_its_own_error(stubbed: tuple[Any, Stubber]) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", code=LOW, DetectedLanguageCode="la")

    with pytest.raises(Undetected):
        await detected(translate, "eu-ES")


async def test_variants_are_what_was_recognised(stubbed: tuple[Any, Stubber]) -> None:
    translate, stubber = stubbed
    asked(stubber, "auto", ("salut", "es"))

    assert await detected(translate, "es-MX") == Translated("salut", "es-MX")
