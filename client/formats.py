"""The formats in which a transcript is read."""

from __future__ import annotations

from enum import StrEnum


class TranscriptFormat(StrEnum):
    """A format, by the suffix of its files."""

    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"
