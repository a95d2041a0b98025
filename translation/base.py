"""The port through which every translator is used.

    async with AmazonTranslator(...) as translator:
        target = translator.target("fr-FR")  # "fr"
        text = await translator.translate("hello", source="en-US", target=target)

A translator translates, once, and raises by name what goes wrong. Debouncing, retries and what
is translated at all are the caller's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from translation.languages import chosen, code_of


class Translator(ABC):
    """A way to translate. An async context manager; to leave it waits for no call."""

    name: str

    def __init__(self, languages: Iterable[str] = ()) -> None:
        """Make a translator into `languages`, BCP 47 tags; by default into all that are known.

        Raises:
            ValueError: one of them is not known.
        """
        #: What can be translated into, as `translate` wants it.
        self.languages = chosen(languages)

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
    async def translate(self, text: str, *, source: str, target: str) -> str:
        """Return `text` in the language `target`, one of `languages`.

        `source` is the BCP 47 tag of the text's own language, and another language than `target`.

        Raises:
            TranslationError: it cannot be had; see `errors.py`.
        """
