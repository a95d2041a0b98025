"""The tokens of a Moonshine model as text and words.

The file is a sequence of entries in the order of the tokens' numbers. Each is a length and so many
bytes of UTF-8, which may be a part of a character. A length below 128 is one byte; a longer one is
two, the first of which is the remainder plus 128 and the second the quotient of a division by 128
(the layout of the `moonshine-voice` package's `tokenizer.bin`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speech.engines.moonshine.files import damaged

#: Begins a word, in place of a blank.
_WORD_START = "\u2581".encode()
#: Tokens with a number below are control symbols.
_CONTROLS = 3
#: The mark of control symbols above, such as `<<ST_0>>`.
_CONTROL_MARK = b"<<"
_COMMAS = re.compile(",{2,}")


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """A word without punctuation, and the lowest probability of its tokens."""

    text: str
    confidence: float


class Vocabulary:
    """The bytes of each token, by its number."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens

    @classmethod
    def load(cls, path: Path, size: int) -> Vocabulary:
        """Read the file, which has at least `size` tokens.

        Raises:
            EngineUnavailable: it is not such a file.
        """
        try:
            tokens = parse(path.read_bytes())
        except ValueError as error:
            raise damaged(path, error) from None
        if len(tokens) < size:
            raise damaged(path, f"it has {len(tokens)} tokens, and the decoder {size}")
        return cls(tokens)

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens, with punctuation."""
        return _decode(b"".join(map(self._bytes, tokens)))

    def words(self, tokens: Iterable[int], probabilities: Iterable[float]) -> list[RecognisedWord]:
        """Return the words of tokens; punctuation counts neither as a word nor for confidence."""
        parts: list[tuple[bytearray, float]] = []
        for token, probability in zip(tokens, probabilities, strict=True):
            piece = self._bytes(token)
            if piece.startswith(_WORD_START) or not parts:
                parts.append((bytearray(), 1.0))
            spoken = any(map(str.isalnum, _decode(piece))) or not _is_text(piece)
            whole, lowest = parts[-1]
            parts[-1] = (whole + piece, min(lowest, probability) if spoken else lowest)
        words = [
            RecognisedWord(word, confidence)
            for whole, confidence in parts
            for word in map(strip_punctuation, _decode(bytes(whole)).split())
        ]
        return [word for word in words if word.text]

    def _bytes(self, token: int) -> bytes:
        if token < _CONTROLS:
            return b""
        piece = self._tokens[token]
        return b"" if piece.startswith(_CONTROL_MARK) else piece


def parse(data: bytes) -> list[bytes]:
    """Return the tokens in the file's bytes.

    Raises:
        ValueError: the last entry is cut off.
    """
    tokens: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:  # noqa: PLR2004 - see the module's docstring
            if at == len(data):
                raise ValueError("the vocabulary ends within a length")
            length += data[at] * 128 - 128
            at += 1
        token = data[at : at + length]
        if len(token) < length:
            raise ValueError("the vocabulary ends within a token")
        tokens.append(token)
        at += length
    return tokens


def strip_punctuation(word: str) -> str:
    """Return a word without what surrounds its first and last letter or digit."""
    spoken = [index for index, character in enumerate(word) if character.isalnum()]
    return word[spoken[0] : spoken[-1] + 1] if spoken else ""


def _decode(data: bytes) -> str:
    """Return the text of bytes; the model sometimes writes a comma twice."""
    text = data.decode(errors="ignore").replace(_WORD_START.decode(), " ")
    return _COMMAS.sub(",", text).strip()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
