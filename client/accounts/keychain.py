"""The system's keyring, where the library `keyring` is installed and has a safe backend.

KeychainError    the keyring refuses, e.g. because it is locked, or the value is too long for it
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol

#: The name under which the keyring's own programs list our entries.
SERVICE: Final = "cloudscribe"
#: Backends of a lower priority keep their values as plain text, or not at all.
_SAFE_PRIORITY: Final = 1


class KeychainError(Exception):
    """The keyring refuses. The message names the kind of error and no value."""


class Keychain(Protocol):
    """Keeps a text for each name."""

    def read(self, name: str) -> str | None:
        """Return a text; None without one.

        Raises:
            KeychainError: the keyring refuses.
        """

    def write(self, name: str, text: str | None) -> None:
        """Keep a text; None removes it.

        Raises:
            KeychainError: the keyring refuses.
        """


class Backend(Protocol):
    """What is used of `keyring.backend.KeyringBackend`."""

    priority: float

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a value; None without one."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep a value."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Remove a value."""


def open_keychain() -> Keychain | None:
    """Return the system's keyring; None if there is none that is safe."""
    try:
        # Loading takes a tenth of a second, which an open site does not have to wait for.
        backend: Backend = import_module("keyring").get_keyring()
        is_safe = backend.priority >= _SAFE_PRIORITY
    except Exception:  # noqa: BLE001 - backends raise whatever their system's libraries do
        return None
    return SystemKeychain(backend) if is_safe else None


@dataclass(frozen=True, slots=True)
class SystemKeychain:
    """A backend of the library `keyring`. Its errors are not chained: they may quote values."""

    backend: Backend

    def read(self, name: str) -> str | None:
        """See `Keychain`."""
        try:
            return self.backend.get_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001 - as above
            raise KeychainError(type(error).__name__) from None

    def write(self, name: str, text: str | None) -> None:
        """See `Keychain`."""
        try:
            if text is not None:
                self.backend.set_password(SERVICE, name, text)
            elif self.backend.get_password(SERVICE, name) is not None:
                self.backend.delete_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001 - as above
            raise KeychainError(type(error).__name__) from None
