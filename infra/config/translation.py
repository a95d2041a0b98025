"""Translation in an environment by Amazon Translate, for viewers of another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from infra.config.parts import Check, ConfigPart, Problem
from translation.languages import code_of

#: BCP 47, as the protocol has it.
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
#: Source: API reference of Amazon Translate, `ResourceName`.
_TERMINOLOGY: Final = re.compile(r"(?=.{1,256}\Z)(?:[A-Za-z0-9-]_?)+", re.ASCII)


class TranslationConfig(ConfigPart):
    """Captions in other languages for viewers. Charged by the character."""

    #: The target languages; empty permits every language of Amazon Translate. Each language that is
    #: read costs extra, and any viewer may request all of them.
    languages: tuple[str, ...] = ()
    #: Name of a custom terminology that you have made in that region.
    terminology: Annotated[
        str | None,
        Check(_TERMINOLOGY.fullmatch, "{!r} is not a name that Translate could have"),
    ] = None
    #: `recognised`: each utterance is translated from the language that it was recognised in.
    #: `auto`: Translate has Amazon Comprehend detect the language of each text, which costs extra.
    source: Literal["recognised", "auto"] = "recognised"
    #: The region that translates; None: the environment's own.
    region: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Report languages and names that Translate does not know."""
        yield from super().problems()
        for language in self.languages:
            if not _LANGUAGE.fullmatch(language) or code_of(language) is None:
                yield "languages", f"{language!r} is no language of Translate, as fr or pt-BR"
