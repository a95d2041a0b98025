"""The languages of the translators, and how other tags map to them.

A speaker's language is a tag of Amazon Transcribe or of another engine (`en-US`, `zh-CN`). A
translator distinguishes languages, and variants only where they are written differently (`en`,
`zh`, `zh-TW`, `fr-CA`).

Source: Amazon Translate Developer Guide, "Supported languages and language codes", and Amazon
Transcribe Developer Guide, "Supported languages", both as of November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_ALL: Final = (
    "af am ar az bg bn bs ca cs cy da de el en es es-MX et fa fa-AF fi fr fr-CA ga gu ha he hi hr "
    "ht hu hy id is it ja ka kk kn ko lt lv mk ml mn mr ms mt nl no pa pl ps pt pt-PT ro ru si sk "
    "sl so sq sr sv sw ta te th tl tr uk ur uz vi zh zh-TW"
)
#: The codes of all languages of Amazon Translate, each of which translates into each.
LANGUAGES: Final = tuple(_ALL.split())

#: Tags whose first part is no code, or another language's code. In lower case.
_ALSO_CALLED: Final[Mapping[str, str]] = {
    "fil": "tl",  # Filipino is the standard form of Tagalog
    "nb": "no",  # Bokmål, which is what Translate means by Norwegian
    "zh-hant": "zh-TW",
    # Translate has no Cantonese, which Transcribe writes in traditional characters.
    "yue": "zh-TW",
    "zh-hk": "zh-TW",
    "zh-mo": "zh-TW",
}
_CODES: Final[Mapping[str, str]] = {**{code.lower(): code for code in LANGUAGES}, **_ALSO_CALLED}


def code_of(tag: str) -> str | None:
    """Return the code for a BCP 47 tag; None if the language is not known.

    The longest known prefix of the tag decides: `fr-CA` stays `fr-CA`, `fr-BE` becomes `fr`.
    """
    parts = tag.lower().split("-")
    for length in range(len(parts), 0, -1):
        code = _CODES.get("-".join(parts[:length]))
        if code is not None:
            return code
    return None


def same_language(one: str, other: str) -> bool:
    """Return whether two tags need no translation between them, as `en-GB` and `en`."""
    return (code_of(one) or one.lower()) == (code_of(other) or other.lower())


def to_codes(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of `tags` without duplicates; all languages if there are none.

    Raises:
        ValueError: a language is not known.
    """
    codes: dict[str, None] = {}
    for tag in tags:
        code = code_of(tag)
        if code is None:
            raise ValueError(f"{tag} is no language that can be translated into")
        codes[code] = None
    return tuple(codes) or LANGUAGES
