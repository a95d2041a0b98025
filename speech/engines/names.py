"""The names of the engines, and the capacity of those that recognise on the machine itself.

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
