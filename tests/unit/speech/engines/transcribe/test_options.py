from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech.engines.errors import OptionError, UnsupportedLanguage
from speech.engines.transcribe.operators import check, languages
from speech.engines.transcribe.options import (
    NAMES,
    AllowedOptions,
    InvalidOption,
    OptionNotAllowed,
    TranscribeOptions,
    UnknownOption,
    combine_choices,
    parse_choices,
)
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
)
from transcribe_endpoint.requests import TranscribeRequest

pytestmark = pytest.mark.unit

EVERYTHING = AllowedOptions(
    identify_language=True,
    vocabularies=frozenset({"names", "noms"}),
    vocabulary_filters=frozenset({"rude"}),
    language_models=frozenset({"law"}),
    speaker_labels=True,
    two_channels=True,
    stability=frozenset({"low", "medium", "high"}),
    pii=frozenset({"redact", "identify"}),
    transcript_format=frozenset({"spoken", "written"}),
    session_resume_window=300,
    medical=True,
)
MEDICAL = {"specialty": "CARDIOLOGY", "type": "DICTATION"}
PLAIN_SETTINGS: dict[str, Any] = {"defaults": {}, "allowed": AllowedOptions()}
PCM = {"media-encoding": "pcm", "sample-rate": "16000"}


def choose(
    choices: dict[str, str],
    *,
    allowed: AllowedOptions = EVERYTHING,
    defaults: dict[str, str] | None = None,
    language: str = "en-US",
    channels: int = 1,
) -> TranscribeOptions:
    return combine_choices(
        language=language,
        channels=channels,
        choices=choices,
        allowed=allowed,
        defaults=defaults or {},
    )


@pytest.mark.parametrize(
    ("choices", "parameters"),
    [
        ({}, {"language-code": "en-US"}),
        (
            {"vocabulary-name": "names", "vocabulary-filter-name": "rude",
             "vocabulary-filter-method": "mask", "language-model-name": "law"},
            {"language-code": "en-US", "vocabulary-name": "names", "language-model-name": "law",
             "vocabulary-filter-name": "rude", "vocabulary-filter-method": "mask"},
        ),
        (
            {"identify-language": "true", "language-options": "en-US,fr-FR",
             "vocabulary-names": "names,noms"},
            {"identify-language": "true", "language-options": "en-US,fr-FR",
             "preferred-language": "en-US", "vocabulary-names": "names,noms"},
        ),
        (
            {"identify-multiple-languages": "true", "language-options": "de-DE,fr-FR"},
            {"identify-multiple-languages": "true", "language-options": "de-DE,fr-FR"},
        ),
        ({"show-speaker-label": "true"}, {"language-code": "en-US", "show-speaker-label": "true"}),
        (
            {"partial-results-stability": "high"},
            {"language-code": "en-US", "enable-partial-results-stabilization": "true",
             "partial-results-stability": "high"},
        ),
        (
            {"content-redaction-type": "PII", "pii-entity-types": "NAME,EMAIL"},
            {"language-code": "en-US", "content-redaction-type": "PII",
             "pii-entity-types": "NAME,EMAIL"},
        ),
        (
            {"content-identification-type": "PII"},
            {"language-code": "en-US", "content-identification-type": "PII"},
        ),
        (
            {"transcript-format": "spoken", "session-resume-window": "30"},
            {"language-code": "en-US", "transcript-format": "spoken",
             "session-resume-window": "30"},
        ),
        (
            MEDICAL | {"vocabulary-name": "names", "content-identification-type": "PHI"},
            MEDICAL | {"language-code": "en-US", "vocabulary-name": "names",
             "content-identification-type": "PHI"},
        ),
    ],
)  # fmt: skip
def test_choices_become_the_parameters_of_the_service(
    choices: dict[str, str], parameters: dict[str, str]
) -> None:
    assert choose(choices).parameters() == PCM | parameters


def test_two_channels_are_identified() -> None:
    assert choose({}, channels=2).parameters() == PCM | {
        "language-code": "en-US",
        "enable-channel-identification": "true",
        "number-of-channels": "2",
    }


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        ({"identify-language": "true"}, "language-options"),
        ({"identify-language": "true", "language-options": "en-US,en-US"}, "language-options"),
        ({"identify-language": "yes"}, "identify-language"),
        ({"language-options": "en-US,fr-FR"}, "identify"),
        ({"language-options": "en-US,"}, "language-options"),
        ({"identify-language": "true", "identify-multiple-languages": "true"}, "either one"),
        ({"vocabulary-names": "names,noms"}, "vocabularies"),
        ({"vocabulary-name": "names", "vocabulary-names": "noms"}, "vocabulary-name"),
        ({"vocabulary-name": "names&region=x"}, "vocabulary-name"),
        ({"vocabulary-filter-method": "mask"}, "vocabulary-filter-method"),
        ({"vocabulary-filter-name": "rude", "vocabulary-filter-method": "shout"}, "method"),
        ({"partial-results-stability": "total"}, "partial-results-stability"),
        ({"content-redaction-type": "ALL"}, "content-redaction-type"),
        ({"content-redaction-type": "PII", "content-identification-type": "PII"}, "PII"),
        ({"pii-entity-types": "NAME"}, "pii-entity-types"),
        ({"content-redaction-type": "PII", "pii-entity-types": "SHOE_SIZE"}, "pii-entity-types"),
        ({"identify-language": "true", "language-options": "en-US,en-GB"}, "one dialect"),
        ({"identify-language": "true", "language-options": "en-US,fr-XX"}, "language-options"),
        ({"session-resume-window": "301"}, "between 1 and 300"),
        ({"session-resume-window": "soon"}, "session-resume-window"),
        ({"transcript-format": "sung"}, "transcript-format"),
        (
            {"identify-language": "true", "language-options": "en-US,fr-FR",
             "content-redaction-type": "PII"},
            "PII",
        ),
        (
            {"identify-language": "true", "language-options": "en-US,fr-FR",
             "language-model-name": "law"},
            "language model",
        ),
        ({"specialty": "CARDIOLOGY"}, "Medical needs type"),
        ({"type": "DICTATION"}, "Medical needs specialty"),
        (MEDICAL | {"specialty": "ASTROLOGY"}, "specialty"),
        (MEDICAL | {"type": "dictation"}, "type"),
        (MEDICAL | {"content-identification-type": "PII"}, "content-identification-type"),
        ({"content-identification-type": "PHI"}, "content-identification-type"),
    ],
)  # fmt: skip
def test_what_the_service_would_not_take_is_refused_by_name(
    choices: dict[str, str], names: str
) -> None:
    with pytest.raises(InvalidOption, match=names):
        choose(choices)


@pytest.mark.parametrize(
    "name", sorted(NAMES - START_MEDICAL_STREAM_TRANSCRIPTION.parameters.keys())
)
def test_what_amazons_medical_operation_lacks_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"Medical has no option {name}"):
        choose(MEDICAL | {name: "true"})


def test_a_medical_stream_is_in_us_english() -> None:
    with pytest.raises(UnsupportedLanguage, match="Medical"):
        choose(MEDICAL, language="en-GB")


@pytest.mark.parametrize("choices", [MEDICAL, {"type": "DICTATION"}])
def test_medical_streams_have_to_be_allowed(choices: dict[str, str]) -> None:
    with pytest.raises(OptionNotAllowed, match="Medical"):
        choose(choices, allowed=AllowedOptions())


def test_redaction_that_the_operator_set_is_not_lost_in_a_medical_stream() -> None:
    with pytest.raises(InvalidOption, match="content-redaction-type"):
        choose(MEDICAL, defaults={"content-redaction-type": "PII"})


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"defaults": {"specialty": "UROLOGY"}}, "type"),
        ({"defaults": MEDICAL, "allowed": AllowedOptions(languages=frozenset({"de-DE"}))}, "en-US"),
        ({"defaults": {"content-redaction-type": "PII"}, "allowed": EVERYTHING}, "redaction"),
        ({"defaults": {"vocabulary-filter-name": "rude"}, "allowed": EVERYTHING}, "filter"),
    ],
)
def test_an_operators_settings_contradict_medical_streams(
    settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(InvalidOption, match=names):
        check(**PLAIN_SETTINGS | settings)


def test_where_every_stream_is_medical_its_languages_are_those_there_are() -> None:
    assert languages(defaults=MEDICAL, allowed=AllowedOptions()) == {"en-US"}
    assert len(languages(defaults={}, allowed=EVERYTHING)) > 90


def test_speakers_and_channels_exclude_each_other() -> None:
    with pytest.raises(InvalidOption, match="speaker labels"):
        choose({"show-speaker-label": "true"}, channels=2)


@pytest.mark.parametrize(
    "name", ["region", "language-code", "sample-rate", "X-Amz-Security-Token", "session-id", ""]
)
def test_clients_choose_nothing_else(name: str) -> None:
    with pytest.raises(UnknownOption):
        choose({name: "x"})


@pytest.mark.parametrize(
    "choices",
    [
        {"vocabulary-name": "names"},
        {"vocabulary-filter-name": "rude"},
        {"vocabulary-filter-method": "mask"},
        {"language-model-name": "law"},
        {"identify-language": "true", "language-options": "en-US,fr-FR"},
        {"show-speaker-label": "true"},
        {"partial-results-stability": "high"},
        {"content-redaction-type": "PII"},
        {"content-identification-type": "PII"},
        {"transcript-format": "written"},
        {"session-resume-window": "1"},
        MEDICAL,
    ],
)
def test_by_default_nothing_but_the_language_is_allowed(choices: dict[str, str]) -> None:
    defaults = {"vocabulary-filter-name": "house"}  # what the operator set is no permission
    with pytest.raises(OptionNotAllowed):
        choose(choices, allowed=AllowedOptions(), defaults=defaults)


def test_two_channels_have_to_be_allowed() -> None:
    with pytest.raises(OptionNotAllowed):
        choose({}, allowed=AllowedOptions(), channels=2)


def test_a_window_is_bounded_by_the_operators() -> None:
    allowed = AllowedOptions(session_resume_window=30)

    assert choose({"session-resume-window": "30"}, allowed=allowed).resume_window == 30
    with pytest.raises(OptionNotAllowed, match="session-resume-window"):
        choose({"session-resume-window": "31"}, allowed=allowed)


@pytest.mark.parametrize(
    "wrong", [{"languages": ["en-US", "fr-XX"]}, {"session_resume_window": 301}]
)
def test_an_operator_cannot_allow_what_the_service_has_not(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"fr-XX|300"):
        AllowedOptions.model_validate(wrong)


def test_languages_to_choose_from_are_bound_like_the_language() -> None:
    allowed = AllowedOptions(languages=frozenset({"en-US"}), identify_language=True)

    with pytest.raises(OptionNotAllowed, match="language"):
        choose({"identify-language": "true", "language-options": "en-US,fr-FR"}, allowed=allowed)


def test_the_operators_defaults_need_no_permission_and_can_be_replaced() -> None:
    defaults = {"partial-results-stability": "high", "vocabulary-name": "house"}

    plain = choose({}, allowed=AllowedOptions(), defaults=defaults)
    assert (plain.stability, plain.vocabularies) == ("high", ("house",))

    changed = choose({"vocabulary-names": "noms"}, defaults=defaults)
    assert (changed.stability, changed.vocabularies) == ("high", ("noms",))


def test_redaction_that_the_operator_set_cannot_be_escaped() -> None:
    with pytest.raises(OptionNotAllowed):
        choose({"content-identification-type": "PII"}, defaults={"content-redaction-type": "PII"})


FRENCH = {"identify-language": "true", "language-options": "en-US,fr-FR"}
SPANISH = {"language-options": "en-US,es-US"}


@pytest.mark.parametrize(
    ("defaults", "allowed", "choices"),
    [
        (
            {"content-redaction-type": "PII"},
            AllowedOptions(pii=frozenset({"identify"})),
            {"pii-entity-types": "NAME"},
        ),
        ({"show-speaker-label": "true"}, AllowedOptions(), {"show-speaker-label": "false"}),
        (MEDICAL, AllowedOptions(), {"specialty": "UROLOGY"}),
        (MEDICAL, AllowedOptions(), {"type": "CONVERSATION"}),
        (FRENCH, AllowedOptions(), SPANISH),
        (FRENCH, AllowedOptions(), {"identify-multiple-languages": "true"}),
        (
            {"vocabulary-filter-name": "house", "vocabulary-filter-method": "remove"},
            AllowedOptions(vocabulary_filters=frozenset({"rude"})),
            {"vocabulary-filter-method": "tag"},
        ),
    ],
)
def test_what_the_operator_set_is_changed_only_by_who_may(
    defaults: dict[str, str], allowed: AllowedOptions, choices: dict[str, str]
) -> None:
    with pytest.raises(OptionNotAllowed):
        choose(choices, allowed=allowed, defaults=defaults)
    choose(defaults, allowed=allowed, defaults=defaults)  # what it is already may be asked for


@pytest.mark.parametrize(
    ("default", "choice"),
    [
        ({"content-identification-type": "PII"}, {"content-redaction-type": "PII"}),
        (FRENCH, {"identify-multiple-languages": "true"}),
        ({"vocabulary-filter-name": "house"}, {"vocabulary-filter-name": "rude"}),
    ],
)
def test_a_choice_that_is_allowed_takes_the_place_of_a_default_that_it_excludes(
    default: dict[str, str], choice: dict[str, str]
) -> None:
    ((name, value),) = choice.items()

    assert choose(choice, defaults=default).parameters()[name] == value


DEFAULTS: list[dict[str, str]] = [
    {},
    {"content-redaction-type": "PII", "pii-entity-types": "NAME,EMAIL"},
    {"content-identification-type": "PII", "show-speaker-label": "true"},
    {"vocabulary-filter-name": "rude", "vocabulary-filter-method": "mask",
     "vocabulary-name": "names", "language-model-name": "law"},
    FRENCH | {"vocabulary-names": "names,noms", "partial-results-stability": "high"},
    SPANISH | {"identify-multiple-languages": "true", "vocabulary-filter-names": "rude,grob"},
    MEDICAL,
]  # fmt: skip
CHOICES = [
    *((name, value) for name in sorted(NAMES) if "-name" in name for value in ("names", "law")),
    *((name, value) for name in sorted(NAMES) if "identify" in name for value in ("true", "false")),
    *(("language-options", value) for value in ("en-US,fr-FR", "en-US,es-US")),
    *(("vocabulary-filter-method", value) for value in ("mask", "tag")),
    *(("show-speaker-label", value) for value in ("true", "false")),
    *(("partial-results-stability", value) for value in ("high", "low")),
    *(("pii-entity-types", value) for value in ("NAME", "NAME,EMAIL")),
    ("content-redaction-type", "PII"),
    ("content-identification-type", "PII"),
    *(("transcript-format", value) for value in ("spoken", "written")),
    *(("session-resume-window", value) for value in ("1", "300")),
    ("content-identification-type", "PHI"),
    *(("specialty", value) for value in ("CARDIOLOGY", "UROLOGY")),
    *(("type", value) for value in ("DICTATION", "CONVERSATION")),
]


@given(
    defaults=st.sampled_from(DEFAULTS),
    choices=st.lists(st.sampled_from(CHOICES), max_size=3).map(dict),
)
def test_who_may_choose_nothing_changes_nothing(
    defaults: dict[str, str], choices: dict[str, str]
) -> None:
    as_set = parse_choices(defaults, language="en-US")
    try:
        result = choose(choices, allowed=AllowedOptions(), defaults=defaults)
    except OptionError:
        return
    assert result == as_set


@given(
    defaults=st.sampled_from(DEFAULTS),
    choices=st.lists(st.sampled_from(CHOICES), max_size=5).map(dict),
    channels=st.sampled_from([1, 2]),
)
def test_the_local_endpoint_takes_whatever_the_engine_asks_for(
    defaults: dict[str, str], choices: dict[str, str], channels: int
) -> None:
    try:
        asked = choose(choices, defaults=defaults, channels=channels)
    except OptionError:
        return
    request = TranscribeRequest.parse(asked.parameters(), asked.operation)
    assert request.given == asked.parameters()


def test_engine_and_local_endpoint_have_the_same_options() -> None:
    """Those of the model's two operations, less what the engine sets itself."""
    own = {
        "language-code",
        "preferred-language",
        "media-encoding",
        "sample-rate",
        "enable-channel-identification",
        "number-of-channels",
        "enable-partial-results-stabilization",  # by `partial-results-stability`
        "session-id",  # the service makes one up
    }

    assert own | NAMES == (
        START_STREAM_TRANSCRIPTION.parameters.keys()
        | START_MEDICAL_STREAM_TRANSCRIPTION.parameters.keys()
    )


@pytest.mark.parametrize("language", ["english", "en", "en-US\n", "", "fr-XX", "xx-YY&region=z"])
def test_what_is_no_language_of_the_service_is_refused(language: str) -> None:
    with pytest.raises(UnsupportedLanguage):
        parse_choices({}, language=language)


def test_no_retry_helps() -> None:
    assert not OptionError.retryable


def test_a_clients_word_is_repeated_only_in_part() -> None:
    with pytest.raises(UnknownOption) as caught:
        choose({"x" * 10_000: "y"})

    assert "x" * 40 in str(caught.value)
    assert "x" * 41 not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "words", "can_be_allowed"),
    [
        ({"foo": "x"}, "there are: content-identification-type, ", False),
        ({"partial-results-stability": "some"}, "there are: ", False),
        ({"vocabulary-filter-method": "hide"}, "there are: mask, remove, tag", False),
        ({"vocabulary-filter-method": "mask"}, "needs a vocabulary filter", False),
        ({"session-resume-window": "x"}, "between 1 and 300", False),
        ({"vocabulary-filter-name": "rude"}, "this vocabulary filter", True),
        (MEDICAL, "Medical", True),
    ],
)
def test_a_refusal_leads_to_the_operator_only_where_the_operator_decides(
    choices: dict[str, str], words: str, *, can_be_allowed: bool
) -> None:
    with pytest.raises(OptionError) as caught:
        choose(choices, allowed=AllowedOptions())

    assert words in str(caught.value)
    assert ("whoever runs the service can allow it" in str(caught.value)) == can_be_allowed
