"""Keeps who is signed in at which site, in a file that its owner alone can read.

A refresh that rotates the token stores the new one before anything else happens. One process
refreshes at a time, because an issuer takes a token that is used twice for a stolen one.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from client.accounts.sign_in import Tokens
from client.errors import FileFailed
from transcripts.models import Model

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: A token that ends so soon is renewed first, seconds.
MARGIN: Final = 60.0


class SignIn(Model):
    """Somebody who is signed in at a site. Times are seconds since 1970."""

    access_token: Annotated[str, Field(repr=False)]
    expires_at: float
    refresh_token: Annotated[str | None, Field(repr=False)] = None

    @classmethod
    def of(cls, tokens: Tokens, before: SignIn | None = None) -> SignIn:
        """Return what is kept of new tokens; an issuer that does not rotate sends no new one."""
        kept = before.refresh_token if before else None
        return cls(
            access_token=tokens.access_token,
            expires_at=time.time() + tokens.expires_in,
            refresh_token=tokens.refresh_token or kept,
        )

    @property
    def is_fresh(self) -> bool:
        """Whether the access token can still be used."""
        return time.time() < self.expires_at - MARGIN


_sign_ins: TypeAdapter[dict[str, SignIn]] = TypeAdapter(dict[str, SignIn])


@dataclass(frozen=True, slots=True)
class SignIns:
    """The file of sign-ins, by the address of the site."""

    file: Path

    def find(self, site: str) -> SignIn | None:
        """Return who is signed in at a site.

        Raises:
            FileFailed: others can read the file, or it cannot be read.
        """
        return self._read().get(site)

    def keep(self, site: str, sign_in: SignIn | None) -> None:
        """Keep a sign-in; None forgets it.

        Raises:
            FileFailed: the file cannot be written.
        """
        stored = {name: each for name, each in self._read().items() if name != site}
        if sign_in is not None:
            stored[site] = sign_in
        fresh = self.file.with_name(f"{self.file.name}.new")
        text = json.dumps({name: each.model_dump(by_alias=True) for name, each in stored.items()})
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(text)
            fresh.replace(self.file)
        except OSError as error:
            raise FileFailed(f"{self.file}: {error.strerror}") from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from changing a sign-in meanwhile; waits for them."""
        if fcntl is None:
            yield
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.file.with_name(f"{self.file.name}.lock"), os.O_CREAT, 0o600)
        except OSError as error:
            raise FileFailed(f"{self.file}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, SignIn]:
        try:
            mode = self.file.stat().st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise FileFailed(f"{self.file}: others can read it; run `chmod 600` on it")
            return _sign_ins.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError:
            raise FileFailed(f"{self.file}: it was spoiled; remove it and sign in") from None
        except OSError as error:
            raise FileFailed(f"{self.file}: {error.strerror}") from error
