"""The callers: people, programs with a person's API key, and guests with a share link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, or a program with an API key of theirs.

    Attributes:
        subject: the person's id at the issuer (OpenID Connect's `sub`).
        is_administrator: whether the person is in the issuer's group of administrators.
        key: the id of the API key in use; None for the person in person.
    """

    subject: str
    is_administrator: bool = False
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody with a share link of one conversation, by the link's id."""

    link: str


Caller: TypeAlias = Person | Guest
