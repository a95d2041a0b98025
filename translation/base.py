"""The interface of all translators.

    async with AmazonTranslator(...) as translator:
        target = translator.target("fr-FR")  # "fr"
        answer = await translator.translate("hello", source="en-US", target=target)
        answer.text, answer.source

The source is the language that the speech was recognised in. A translator that `detects` finds out
the language of each text by itself. A text that turns out to be in the target language is returned
unchanged.

A translator makes one attempt, and raises a named error if it fails. The caller decides what is
translated and when, and retries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from translation.languages import code_of, to_codes


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated text."""

    text: str
    #: The language that it was translated from, a BCP 47 tag: as given, or as detected.
    source: str


class Translator(ABC):
    """Translates texts. An async context manager; leaving it does not wait for calls in flight."""

    name: str

    def __init__(self, languages: Iterable[str] = (), *, detects: bool = False) -> None:
        """Make a translator.

        Args:
            languages: BCP 47 tags of the languages to translate into; by default all.
            detects: whether it detects the language of each text.

        Raises:
            ValueError: a language is not known.
        """
        #: The languages that can be translated into, as `translate` takes them.
        self.languages = to_codes(languages)
        #: Whether to pass texts that are recognised as in the target language, too.
        self.detects = detects

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def target(self, language: str) -> str | None:
        """Return which of `languages` a BCP 47 tag stands for; None if it is none of them."""
        code = code_of(language)
        return code if code in self.languages else None

    @abstractmethod
    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Translate `text` into `target`, one of `languages`.

        `source` is the BCP 47 tag of the text's own language. It differs from `target` unless the
        translator `detects`.

        Raises:
            TranslationError: the translation failed; see `errors.py`.
        """
