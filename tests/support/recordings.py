"""Speech for tests: generated, so that it is always there, and real, where it is present."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jiwer
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from speech.decode import decode

#: Where the real recordings are, with a `manifest.json`.
RECORDINGS = Path(
    os.environ.get("RECORDINGS") or Path(__file__).parents[2].parent / "shared" / "audio"
)
_NORMALIZER = EnglishTextNormalizer()


@dataclass(frozen=True, slots=True)
class Recording:
    """A real recording. `text` is what one voice speaks in it, None where it is not known."""

    path: Path
    seconds: float
    sample_rate: int
    channels: int
    text: str | None

    def pcm(self) -> bytes:
        """Return it as 16 kHz, mono, s16le."""
        return b"".join(decode(self.path))


def recordings() -> list[Recording]:
    """Return the real recordings; skip the test where there are none."""
    manifest = RECORDINGS / "manifest.json"
    if not manifest.is_file():
        pytest.skip(
            f"no real recordings at {RECORDINGS}; the variable RECORDINGS names another folder"
        )
    return [
        Recording(
            path=RECORDINGS / entry["file"],
            seconds=entry["seconds"],
            sample_rate=entry["sampleRate"],
            channels=entry["channels"],
            # "LEFT: .. RIGHT: .." is two voices at once, which no mono text describes.
            text=None if "LEFT:" in (entry["text"] or "LEFT:") else entry["text"],
        )
        for entry in json.loads(manifest.read_text(encoding="utf-8"))
    ]


def recording(name: str) -> Recording:
    """Return one real recording; skip the test where it is not present."""
    for candidate in recordings():
        if candidate.path.name == name:
            return candidate
    pytest.skip(f"no recording {name} at {RECORDINGS}")


@functools.cache
def flite(text: str, voice: str = "rms") -> bytes:
    """Return `text` as spoken by flite (voices rms, slt, kal16): 16 kHz, mono, s16le."""
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed: apt-get install flite, or brew install flite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(
            ["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=60
        )
        return b"".join(decode(path))


def silence(seconds: float) -> bytes:
    """Return digital silence: 16 kHz, mono, s16le."""
    return bytes(2 * round(seconds * 16_000))


def wav(path: Path, pcm: bytes, *, sample_rate: int = 16_000) -> Path:
    """Write s16le, mono, as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, sample_rate, 0, "NONE", "not compressed"))
        file.writeframes(pcm)
    return path


def normalised(text: str) -> str:
    """Return a text as Whisper's authors compare it: with one spelling of numbers and titles."""
    return str(_NORMALIZER(text))


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Return the errors per word of all (reference, hypothesis) pairs together."""
    references, hypotheses = zip(*pairs, strict=True)
    return float(
        jiwer.wer([normalised(text) for text in references], [normalised(t) for t in hypotheses])
    )
