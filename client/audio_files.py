"""Read the header of an audio file, and explain why a file cannot be read."""

from __future__ import annotations

from pathlib import Path

from client.errors import UnreadableAudio
from speech.decode import AudioInfo, DecodeError, probe


def read_header(path: Path) -> AudioInfo:
    """Return the contents of an audio file's header. Blocks.

    Raises:
        UnreadableAudio: there is no such file, or it holds no audio.
    """
    try:
        empty = path.is_file() and not path.stat().st_size
        found = None if empty else probe(path)
    except Exception as error:
        raise unreadable(path, error) from error
    if found is None:
        raise UnreadableAudio(f"{path}: the file is empty")
    return found


def unreadable(path: Path, error: Exception) -> UnreadableAudio:
    """Return a decoder's exception as an `UnreadableAudio`.

    Every exception that a file's bytes provoke counts as a defect of the file.
    """
    if isinstance(error, DecodeError | OSError):
        return UnreadableAudio(f"{path}: {reason(error)}")
    return UnreadableAudio(f"{path}: the decoder cannot cope with it ({type(error).__name__})")


def reason(error: Exception) -> str:
    """Return the message of an error without the error number and file name of its cause."""
    cause = error if isinstance(error, OSError) else error.__cause__
    words = getattr(cause, "strerror", None)
    return str(error).replace(str(cause), words) if words else str(error)
