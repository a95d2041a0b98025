"""The port through which every translator is used.

    async with AmazonTranslator(...) as translator:
        target = translator.target("fr-FR")  # "fr"
        answer = await translator.translate("hello", source="en-US", target=target)
        answer.text, answer.source

The source is what the speech's recogniser takes for the language. A translator that `detects` looks
for itself: then a text may turn out to be in the target language, and is the answer as it is.

A translator translates, once, and raises by name what goes wrong. Debouncing, retries and what
is translated at all are the caller's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from translation.languages import chosen, code_of


@dataclass(frozen=True, slots=True)
class Translated:
    """The answer to one text."""

    text: str
    #: The language that it was translated from, a BCP 47 tag: the one given, or the one detected.
    source: str


class Translator(ABC):
    """A way to translate. An async context manager; to leave it waits for no call."""

    name: str

    def __init__(self, languages: Iterable[str] = (), *, detects: bool = False) -> None:
        """Make a translator into `languages`, BCP 47 tags; by default into all that are known.

        Args:
            languages: to translate into.
            detects: whether it looks itself which language a text is in.

        Raises:
            ValueError: one of them is not known.
        """
        #: What can be translated into, as `translate` wants it.
        self.languages = chosen(languages)
        #: Whether it wants texts that are said to be in the target language, too.
        self.detects = detects

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def target(self, language: str) -> str | None:
        """Return which of `languages` a BCP 47 tag means, or `None` if it is none of them."""
        code = code_of(language)
        return code if code in self.languages else None

    @abstractmethod
    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        """Return `text` in the language `target`, one of `languages`.

        `source` is the BCP 47 tag of the text's own language, and another language than `target`
        unless the translator `detects`.

        Raises:
            TranslationError: it cannot be had; see `errors.py`.
        """
