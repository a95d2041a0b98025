"""What a stream may ask for, and how it is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
)
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import HEADER_PREFIX, TranscribeRequest

pytestmark = pytest.mark.unit

MODEL = START_STREAM_TRANSCRIPTION.parameters

PLAIN = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": "16000"}
SPOKEN = {"media-encoding": "pcm", "sample-rate": "16000", "language-options": "en-US,fr-FR"}
SESSION = "0b5a2a9c-9b3f-4c33-8a63-0fd6ab0a4d9e"


def refusal(**changes: str | None) -> str:
    """Return the message with which the plain request is refused after `changes`."""
    asked = {**PLAIN, **{name.replace("_", "-"): value for name, value in changes.items()}}
    with pytest.raises(BadRequest) as caught:
        TranscribeRequest.parse({name: value for name, value in asked.items() if value is not None})
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", HEADER_PREFIX, HEADER_PREFIX.title()])
def test_query_and_headers_ask_for_the_same(prefix: str) -> None:
    asked = {
        **PLAIN,
        "session-id": SESSION,
        "vocabulary-name": "names",
        "show-speaker-label": "True",
        "enable-partial-results-stabilization": "true",
        "partial-results-stability": "low",
    }

    request = TranscribeRequest.parse({prefix + name: value for name, value in asked.items()})

    assert request.language_code == "en-US"
    assert request.sample_rate == 16_000
    assert request.session_id == SESSION
    assert request.vocabulary_names == ("names",)
    assert request.show_speaker_label
    assert request.stability == "low"
    assert request.channels == 1
    assert request.response_headers()[HEADER_PREFIX + "partial-results-stability"] == "low"


def test_what_is_no_parameter_is_ignored() -> None:
    request = TranscribeRequest.parse(
        {**PLAIN, "X-Amz-Signature": "x", "host": "y", "session-id": ""}
    )

    assert request.session_id
    assert request.given == PLAIN


def test_a_language_may_be_identified() -> None:
    one = TranscribeRequest.parse(
        {**SPOKEN, "identify-language": "true", "preferred-language": "fr-FR"}
    )
    several = TranscribeRequest.parse({**SPOKEN, "identify-multiple-languages": "true"})

    assert one.language_options == several.language_options == ("en-US", "fr-FR")
    assert one.identifies
    assert several.identifies
    assert one.language_code is None


def test_two_channels() -> None:
    request = TranscribeRequest.parse(
        {**PLAIN, "enable-channel-identification": "true", "number-of-channels": "2"}
    )

    assert request.channels == 2
    assert request.bytes_per_second == 64_000


def test_a_medical_stream_asks_for_what_its_operation_has() -> None:
    asked = {**PLAIN, "specialty": "RADIOLOGY", "type": "DICTATION", "transcript-format": "sung"}

    request = TranscribeRequest.parse(asked, START_MEDICAL_STREAM_TRANSCRIPTION)

    headers = request.response_headers()
    assert headers[HEADER_PREFIX + "specialty"] == "RADIOLOGY"
    assert HEADER_PREFIX + "transcript-format" not in headers


def test_a_medical_stream_names_its_specialty_and_type() -> None:
    with pytest.raises(BadRequest, match=r"'specialty' failed.*'type' failed"):
        TranscribeRequest.parse(PLAIN, START_MEDICAL_STREAM_TRANSCRIPTION)


def test_a_medical_stream_has_either_speakers_or_channels() -> None:
    asked = {
        **PLAIN,
        "specialty": "RADIOLOGY",
        "type": "DICTATION",
        "show-speaker-label": "true",
        "enable-channel-identification": "true",
        "number-of-channels": "2",
    }

    with pytest.raises(BadRequest, match="ShowSpeakerLabel"):
        TranscribeRequest.parse(asked, START_MEDICAL_STREAM_TRANSCRIPTION)


@pytest.mark.parametrize(
    ("name", "value", "member"),
    [
        ("language-code", "en-XX", "languageCode"),
        ("media-encoding", "mp3", "mediaEncoding"),
        ("sample-rate", "7999", "mediaSampleRateHertz"),
        ("sample-rate", "48001", "mediaSampleRateHertz"),
        ("sample-rate", "16e3", "mediaSampleRateHertz"),
        ("sample-rate", "١٦٠٠٠", "mediaSampleRateHertz"),
        ("session-id", "mine", "sessionId"),
        ("vocabulary-name", "two words", "vocabularyName"),
        ("vocabulary-filter-method", "drop", "vocabularyFilterMethod"),
        ("show-speaker-label", "yes", "showSpeakerLabel"),
        ("number-of-channels", "3", "numberOfChannels"),
        ("partial-results-stability", "highest", "partialResultsStability"),
        ("language-options", "en-US\r\nx: y,fr-FR", "languageOptions"),
        ("content-redaction-type", "ALL", "contentRedactionType"),
        ("pii-entity-types", "NAME,SHOE_SIZE", "piiEntityTypes"),
        ("transcript-format", "sung", "transcriptFormat"),
        ("session-resume-window", "0", "sessionResumeWindow"),
        ("session-resume-window", "301", "sessionResumeWindow"),
    ],
)
def test_a_value_the_service_does_not_know_is_refused(name: str, value: str, member: str) -> None:
    message = refusal(**{name: value})

    assert message.startswith("1 validation error detected: Value '")
    assert f"at '{member}' failed to satisfy constraint" in message


@pytest.mark.parametrize("language", ["sw-TZ", "ckb-IQ", "kab-DZ"])
def test_languages_are_all_those_of_the_model(language: str) -> None:
    assert TranscribeRequest.parse({**PLAIN, "language-code": language}).language_code == language


def test_a_window_and_a_format_are_taken_and_echoed() -> None:
    asked = {"session-resume-window": "300", "transcript-format": "spoken"}

    request = TranscribeRequest.parse(PLAIN | asked)

    assert (request.session_resume_window, request.transcript_format) == (300, "spoken")
    assert request.response_headers().items() >= {
        (HEADER_PREFIX + name, value) for name, value in asked.items()
    }


@pytest.mark.parametrize("rate", ["8000", "44100", "48000"])
def test_sample_rates_from_8_to_48_khz_are_taken(rate: str) -> None:
    assert TranscribeRequest.parse({**PLAIN, "sample-rate": rate}).sample_rate == int(rate)


def test_all_wrong_values_are_named_at_once() -> None:
    message = refusal(media_encoding=None, sample_rate="1")

    assert message.startswith("2 validation errors detected: ")
    assert (
        "Value at 'mediaEncoding' failed to satisfy constraint: Member must not be null" in message
    )


TRUE = "true"
OPTIONS = "en-US,fr-FR"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language-code": None}, "either LanguageCode, IdentifyLanguage"),
        ({"identify-language": TRUE, "language-options": OPTIONS}, "can't set LanguageCode"),
        ({"language-code": None, "identify-language": TRUE}, "at least two LanguageOptions"),
        (
            {"language-code": None, "identify-language": TRUE, "language-options": "en-US"},
            "at least two LanguageOptions",
        ),
        (
            {"language-code": None, "identify-language": TRUE, "language-options": "en-US,en-GB"},
            "one dialect",
        ),
        (
            {
                "language-code": None,
                "identify-language": TRUE,
                "identify-multiple-languages": TRUE,
                "language-options": OPTIONS,
            },
            "both IdentifyLanguage",
        ),
        (
            {
                "language-code": None,
                "identify-language": TRUE,
                "language-options": OPTIONS,
                "preferred-language": "de-DE",
            },
            "PreferredLanguage must be one of",
        ),
        (
            {
                "language-code": None,
                "identify-language": TRUE,
                "language-options": OPTIONS,
                "vocabulary-name": "names",
            },
            "use VocabularyNames",
        ),
        ({"language-options": OPTIONS}, "can't set LanguageOptions unless"),
        ({"preferred-language": "en-US"}, "without IdentifyLanguage"),
        ({"vocabulary-names": "a,b"}, "use VocabularyName and"),
        ({"enable-channel-identification": TRUE}, "NumberOfChannels to 2"),
        ({"number-of-channels": "2"}, "without EnableChannelIdentification"),
        (
            {
                "enable-channel-identification": TRUE,
                "number-of-channels": "2",
                "show-speaker-label": TRUE,
            },
            "both ShowSpeakerLabel",
        ),
        ({"partial-results-stability": "high"}, "without EnablePartialResultsStabilization"),
        (
            {"content-redaction-type": "PII", "content-identification-type": "PII"},
            "both ContentRedactionType",
        ),
        ({"pii-entity-types": "NAME"}, "can't set PiiEntityTypes without"),
        ({"vocabulary-filter-method": "mask"}, "without VocabularyFilterName"),
        *(
            (
                {
                    "language-code": None,
                    identifies: TRUE,
                    "language-options": OPTIONS,
                    handling: "PII",
                },
                "when a language is to be identified",
            )
            for identifies in ("identify-language", "identify-multiple-languages")
            for handling in ("content-redaction-type", "content-identification-type")
        ),
    ],
)
def test_options_that_contradict_are_refused(changes: dict[str, str | None], message: str) -> None:
    assert message in refusal(**changes)


NAMES = st.sampled_from(sorted(MODEL)).flatmap(
    lambda name: st.sampled_from([name, HEADER_PREFIX + name])
)
VALUES = st.one_of(
    st.sampled_from(
        ["", "true", "false", "2", "16000", "pcm", "high", "PII", "mask", "en-US", "en-US,fr-FR"]
    ),
    st.sampled_from(MODEL["language-code"].values),
    st.text(),
)


@given(st.dictionaries(st.one_of(NAMES, st.text()), VALUES), st.booleans())
def test_whatever_is_asked_is_taken_or_refused_by_name(
    asked: dict[str, str],
    is_begun_well: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    with contextlib.suppress(BadRequest):
        request = TranscribeRequest.parse({**(PLAIN if is_begun_well else {}), **asked})
        headers = request.response_headers()

        assert (request.language_code is None) == request.identifies
        assert 8_000 <= request.sample_rate <= 48_000
        assert not any(set(value) & set("\r\n") for value in headers.values())
