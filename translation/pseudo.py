"""A stand-in for a translator: text that anybody can see was not translated.

"hello world" becomes "[fr ĥééļļöö ŵööŕļð]": letters get accents, vowels come twice, so that the
text grows as translations do (English by some 40 %), and the language stands in front. Digits and
signs stay. What has no Latin letters is only put into brackets.
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
    """Return `text` as if it were translated into `target`."""
    return f"[{target} {text.translate(_LETTERS)}]"


class PseudoTranslator(Translator):
    """Marks texts with the language they were to be translated into. Never fails."""

    name = "pseudo"

    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Return the marked text; as it is, if it is in the target language already.

        It detects nothing: where it `detects`, `source` is believed.
        """
        if same_language(source, target):
            return Translated(text, source)
        return Translated(pseudo(text, target), source)
