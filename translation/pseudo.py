"""A stand-in for a translator, whose text is visibly not translated.

"hello world" becomes "[fr ĥééļļöö ŵööŕļð]". Letters get accents, and vowels are doubled so that the
text grows as translations do (English by some 40 %). The language stands in front. Digits and
punctuation stay, and a text without Latin letters only gets the brackets.
"""

from __future__ import annotations

from typing import Final

from translation.base import Translated, Translator
from translation.languages import same_language

_VOWELS: Final = {
    **dict(zip("aeiouy", "áéíöüý", strict=True)),
    **dict(zip("AEIOUY", "ÁÉÍÖÜÝ", strict=True)),
}
_CONSONANTS: Final = {
    **dict(zip("cdghjklnrstwz", "çðĝĥĵķļñŕšţŵž", strict=True)),
    **dict(zip("CDGHJKLNRSTWZ", "ÇÐĜĤĴĶĻÑŔŠŢŴŽ", strict=True)),
}
_LETTERS: Final = str.maketrans(
    {**_CONSONANTS, **{plain: accented * 2 for plain, accented in _VOWELS.items()}}
)


def pseudo(text: str, target: str) -> str:
    """Return `text` marked as translated into `target`."""
    return f"[{target} {text.translate(_LETTERS)}]"


class PseudoTranslator(Translator):
    """Marks texts with the language to translate into. Never fails."""

    name = "pseudo"

    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Return the marked text, or `text` itself if `source` is in the target language already.

        It detects nothing: even if it `detects`, it relies on `source`.
        """
        if same_language(source, target):
            return Translated(text, source)
        return Translated(pseudo(text, target), source)
