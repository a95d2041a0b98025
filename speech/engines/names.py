"""The names of the engines; the capacity and the languages of the embedded ones.

Standard library only: the demo refuses an unknown name before it installs anything, and the
environments of the CDK choose an engine without importing one. `registry.py` has the engines
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

#: Engines that recognise on the machine itself and need nothing else.
EmbeddedName = Literal["moonshine", "pocketsphinx"]
EngineName = Literal[EmbeddedName, "scripted", "transcribe"]

#: The most streams for each core of the machine, by the name of each embedded engine.
STREAMS_PER_CORE: Final[Mapping[str, int]] = {
    "moonshine": 5,  # each takes 0.16 of a core
    "pocketsphinx": 3,  # each takes 0.2 to 0.3 of a core
}

#: The languages of each embedded engine, as BCP 47 tags.
#:
#: Moonshine has one model for English in general, so a variant changes the tag of the captions and
#: not the words. It takes the variants of Amazon Transcribe that are tags of a region, so that a
#: speaker's choice outlasts a change of the engine. Pocketsphinx has a model of US English.
EMBEDDED_LANGUAGES: Final[Mapping[EmbeddedName, frozenset[str]]] = {
    "moonshine": frozenset({"en-AU", "en-GB", "en-IE", "en-IN", "en-NZ", "en-US", "en-ZA"}),
    "pocketsphinx": frozenset({"en-US"}),
}
