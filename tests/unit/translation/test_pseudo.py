from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation.base import Translated
from translation.pseudo import PseudoTranslator, pseudo

pytestmark = pytest.mark.unit


async def test_nobody_takes_the_stand_in_for_a_translation() -> None:
    async with PseudoTranslator(["fr"]) as translator:
        answer = await translator.translate("hello world 42", source="en-US", target="fr")

    assert answer == Translated("[fr ĥééļļöö ŵööŕļð 42]", "en-US")
    assert translator.languages == ("fr",)


async def test_where_it_detects_it_believes_what_was_recognised() -> None:
    async with PseudoTranslator(["fr"], detects=True) as translator:
        answer = await translator.translate("bonjour", source="fr-FR", target="fr")

    assert answer == Translated("bonjour", "fr-FR")


def test_it_grows_as_translations_do() -> None:
    text = "the quick brown fox jumps over the lazy dog and goes home"

    assert 1.25 < len(pseudo(text, "fr")) / len(text) < 1.5


@given(st.text())
def test_digits_spaces_and_signs_stay(text: str) -> None:
    def kept(of: str) -> list[str]:
        return [character for character in of if not character.isalpha()]

    assert kept(pseudo(text, "fr")) == ["[", " ", *kept(text), "]"]
