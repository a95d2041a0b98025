"""The names of the engines. Standard library only.

The demo refuses an unknown name before it installs anything. `registry.py` has the engines
themselves.
"""

from __future__ import annotations

from typing import Literal

EngineName = Literal["moonshine", "pocketsphinx", "scripted", "transcribe"]
