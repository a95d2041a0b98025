"""The errors of decoding a recording.

DecodeError
├── NotAudio       the format is unknown, or the file holds no audio
└── CorruptAudio   the audio cannot be decoded to its end
"""

from __future__ import annotations


class DecodeError(Exception):
    """A recording cannot be read as audio."""


class NotAudio(DecodeError):
    """The format is unknown, or the file holds no audio."""


class CorruptAudio(DecodeError):
    """The audio cannot be decoded to its end."""
