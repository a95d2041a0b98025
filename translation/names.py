"""The names of the translators. Standard library only.

The demo refuses an unknown name before it installs anything.
"""

from __future__ import annotations

from typing import Literal

TranslatorName = Literal["none", "amazon", "pseudo"]
