"""The names of the engines and translators that settings can choose.

This module imports only the standard library: the demo rejects an unknown name before it installs
anything.
"""

from __future__ import annotations

from typing import Literal

EngineName = Literal["pocketsphinx", "scripted", "transcribe"]
TranslatorName = Literal["none", "amazon", "pseudo"]
