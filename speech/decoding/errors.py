"""Verdicts on a recording's file.

DecodeError
├── NotAudio       the file is of no known format, or holds no audio
└── CorruptAudio   the audio ends in something that cannot be decoded
"""

from __future__ import annotations


class DecodeError(Exception):
    """A recording cannot be read as audio."""


class NotAudio(DecodeError):
    """The file is of no known format, or holds no audio."""


class CorruptAudio(DecodeError):
    """The audio ends in something that cannot be decoded."""
