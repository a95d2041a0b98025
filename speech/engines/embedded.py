"""The choice of the embedded engine, which needs nothing but this machine."""

from __future__ import annotations

from typing import Final

from speech.engines.moonshine.files import is_installed
from speech.engines.names import EmbeddedName

BEST: Final = "moonshine"
#: Where the package of the best one is not made for the machine.
FALLBACK: Final = "pocketsphinx"


def choose_embedded() -> EmbeddedName:
    """Return the name of the best embedded engine that is installed."""
    return BEST if is_installed() else FALLBACK
