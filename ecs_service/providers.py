"""Who can recognise and who can translate, by the names that settings give them.

Imports nothing that has to be installed: the demo refuses another name before it installs anything.
"""

from __future__ import annotations

from typing import Literal

EngineName = Literal["pocketsphinx", "scripted", "transcribe"]
TranslatorName = Literal["none", "amazon", "pseudo"]
