from __future__ import annotations

import pytest

from transcripts.protocol import ConnectParameters
from translation.languages import LANGUAGES, code_of, same_language, to_codes

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en-US", "en"),
        ("es-US", "es"),
        ("es-MX", "es-MX"),
        ("fr-CA", "fr-CA"),
        ("fr-BE", "fr"),
        ("pt-BR", "pt"),
        ("pt-PT", "pt-PT"),
        ("zh-CN", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-TW", "zh-TW"),
        ("zh-Hant-HK", "zh-TW"),
        ("zh-HK", "zh-TW"),
        ("no-NO", "no"),
        ("nb-NO", "no"),
        ("tl-PH", "tl"),
        ("fa-AF", "fa-AF"),
        ("fa-IR", "fa"),
        ("FR-ca", "fr-CA"),
        ("eu-ES", None),
        ("eng", None),
    ],
)
def test_a_speakers_language_is_found_under_the_translators_name(
    tag: str, code: str | None
) -> None:
    assert code_of(tag) == code


def test_the_list_is_that_of_the_developer_guide_and_fit_for_the_protocol() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES)) == 75
    assert list(LANGUAGES) == sorted(LANGUAGES, key=str.lower)
    for code in LANGUAGES:
        assert code_of(code) == code
        assert ConnectParameters(conversation_id="c", language=code).language == code


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("en-US", "en", True),
        ("en-GB", "en-US", True),
        ("pt-BR", "pt-PT", False),
        ("fr", "fr-CA", False),
        ("eu-ES", "eu-ES", True),
        ("eu-ES", "en", False),
    ],
)
def test_variants_differ_only_where_they_are_written_differently(
    one: str,
    other: str,
    same: bool,  # noqa: FBT001 - a case of the table
) -> None:
    assert same_language(one, other) is same


def test_an_operator_offers_what_is_known_once_each() -> None:
    assert to_codes(["fr-FR", "de", "fr"]) == ("fr", "de")
    assert to_codes([]) == LANGUAGES
    with pytest.raises(ValueError, match="klingon"):
        to_codes(["fr", "klingon"])
