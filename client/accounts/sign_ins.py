"""Keeps who is signed in at which site: in the system's keyring, else in a file.

The file can be read by its owner alone. It also holds what the keyring does not take, and counts
before it.

A refresh that rotates the token stores the new one before anything else happens. One process
refreshes at a time, because an issuer takes a token that is used twice for a stolen one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from client.accounts.keychain import Keychain, KeychainError
from client.accounts.sign_in import Tokens
from client.errors import FileFailed, NotSignedIn
from transcripts.models import Model

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


#: A token that ends so soon is renewed first, seconds.
MARGIN: Final = 60.0
#: How long another process may take to renew a token, and how often to look, seconds. A request to
#: an issuer ends within half of the first.
_PATIENCE: Final = 60.0
_INTERVAL: Final = 0.05


class SignIn(Model):
    """Somebody who is signed in at a site. Times are seconds since 1970."""

    access_token: Annotated[str, Field(repr=False)]
    expires_at: float
    refresh_token: Annotated[str | None, Field(repr=False)] = None
    #: Where the tokens come from. A site that names another place later gets no refresh token.
    token_endpoint: str | None = None

    @classmethod
    def of(cls, tokens: Tokens, token_endpoint: str, before: SignIn | None = None) -> SignIn:
        """Return what is kept of new tokens; an issuer that does not rotate sends no new one."""
        kept = before.refresh_token if before else None
        return cls(
            access_token=tokens.access_token,
            expires_at=time.time() + tokens.expires_in,
            refresh_token=tokens.refresh_token or kept,
            token_endpoint=token_endpoint,
        )

    @property
    def is_fresh(self) -> bool:
        """Whether the access token can still be used."""
        return time.time() < self.expires_at - MARGIN


_sign_ins: TypeAdapter[dict[str, SignIn]] = TypeAdapter(dict[str, SignIn])


@dataclass(frozen=True, slots=True)
class SignIns:
    """The sign-ins, by the address of the site.

    Args:
        file: used without a keychain, and for what it does not take.
        keychain: the system's; None if there is none.
    """

    file: Path
    keychain: Keychain | None = None

    def find(self, site: str) -> SignIn | None:
        """Return who is signed in at a site.

        Raises:
            FileFailed: others can read the file, or it cannot be read.
            NotSignedIn: the keychain does not give it.
        """
        stored = self._read().get(site)
        if stored is not None or self.keychain is None:
            return stored
        try:
            text = self.keychain.read(site)
            return None if text is None else SignIn.model_validate_json(text)
        except KeychainError as error:
            raise NotSignedIn(
                f"The system's keyring does not give the sign-in ({error}): unlock it."
            ) from None
        except ValidationError:
            return None

    def keep(self, site: str, sign_in: SignIn | None) -> None:
        """Keep a sign-in; None forgets it.

        Raises:
            FileFailed: the file cannot be written, or the keychain not forget.
        """
        is_in_keychain = False
        if self.keychain is not None:
            text = None if sign_in is None else sign_in.model_dump_json(by_alias=True)
            try:
                self.keychain.write(site, text)
                is_in_keychain = True
            except KeychainError as error:
                if sign_in is None:
                    self._write(site, None)
                    raise FileFailed(
                        f"The system's keyring does not remove the sign-in ({error})."
                    ) from None
        self._write(site, None if is_in_keychain else sign_in)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others from changing a sign-in meanwhile; waits for them.

        Raises:
            FileFailed: the lock cannot be had.
        """
        path = self.file.with_name(f"{self.file.name}.lock")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise FileFailed(f"{path}: {error.strerror}") from error
        try:
            await _lock(lock, path)
            yield
        finally:
            os.close(lock)

    def _write(self, site: str, sign_in: SignIn | None) -> None:
        before = self._read()
        stored = {name: each for name, each in before.items() if name != site}
        if sign_in is not None:
            stored[site] = sign_in
        if stored == before:
            return
        fresh = self.file.with_name(f"{self.file.name}.new")
        text = json.dumps({name: each.model_dump(by_alias=True) for name, each in stored.items()})
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(descriptor)  # the token before it may not be valid any more
            fresh.replace(self.file)
        except OSError as error:
            raise FileFailed(f"{self.file}: {error.strerror}") from error

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


async def _lock(descriptor: int, path: Path) -> None:
    """Lock a file, without keeping the event loop from going on."""
    for _ in range(round(_PATIENCE / _INTERVAL)):
        try:
            _try_lock(descriptor)
        except OSError:
            await asyncio.sleep(_INTERVAL)
        else:
            return
    raise FileFailed(f"{path}: another process holds it for {_PATIENCE:g} s")
