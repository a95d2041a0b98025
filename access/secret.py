"""Secrets of share links, API keys and streams: `csl_ID_SECRET`, `csk_ID_SECRET`, `csr_ID_SECRET`.

A secret has 128 random bits, so its SHA-256 cannot be searched and needs no salt. The prefix lets
scanners of source code find a leaked one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["csl", "csk", "csr"]

#: 128 bits in base 32, without padding and in small letters.
_PART = r"[a-z2-7]{26}"
_SECRET = re.compile(rf"(csl|csk|csr)_({_PART})_({_PART})")
_ID = re.compile(_PART)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret with the id under which its hash is stored."""

    kind: Kind
    id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        """Return the text that its owner keeps."""
        return f"{self.kind}_{self.id}_{self.secret}"

    @property
    def hash(self) -> str:
        """The SHA-256 of the secret, in hex."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, stored_hash: str) -> bool:
        """Return whether this is the secret of a stored hash, in constant time."""
        return hmac.compare_digest(self.hash.encode(), stored_hash.encode())


def make_id() -> str:
    """Return a new id that nobody guesses: 128 random bits, 26 letters and digits."""
    return b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def make_secret(kind: Kind) -> Secret:
    """Return a new secret with a new id."""
    return Secret(kind, make_id(), make_id())


def parse_secret(kind: Kind, text: str) -> Secret | None:
    """Return the secret in a text; None if it is not one of this kind."""
    found = _SECRET.fullmatch(text)
    if found is None or found[1] != kind:
        return None
    return Secret(kind, found[2], found[3])


def is_id(text: str) -> bool:
    """Return whether `make_id` may have made the text."""
    return _ID.fullmatch(text) is not None
