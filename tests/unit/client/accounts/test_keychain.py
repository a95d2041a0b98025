"""The system's keyring, and the file that stands in where it refuses."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from client.accounts.keychain import SERVICE, SystemKeychain, open_keychain
from client.accounts.sign_ins import SignIn, SignIns
from client.errors import FileFailed, NotSignedIn

pytestmark = pytest.mark.unit

SITE = "https://captions.test"


@dataclass
class Backend:
    """A backend of `keyring` that may refuse, with an error that quotes the value."""

    priority: float = 5
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    is_locked: bool = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check("read")
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check(password)
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check("delete")
        del self.values[service, username]

    def _check(self, value: str) -> None:
        if self.is_locked:
            raise PermissionError(value)


def signed_in(token: str = "first") -> SignIn:
    return SignIn(access_token=token, expires_at=time.time() + 600, refresh_token="refresh")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def sign_ins(tmp_path: Path, backend: Backend) -> SignIns:
    return SignIns(tmp_path / "sign-ins.json", SystemKeychain(backend))


def test_a_sign_in_is_in_the_keyring_and_in_no_file(sign_ins: SignIns, backend: Backend) -> None:
    sign_ins.keep(SITE, signed_in())

    assert sign_ins.find(SITE) == SignIn.model_validate_json(backend.values[SERVICE, SITE])
    assert not sign_ins.file.exists()
    sign_ins.keep(SITE, None)
    sign_ins.keep(SITE, None)
    assert sign_ins.find(SITE) is None
    assert not backend.values


def test_what_the_file_had_moves_to_the_keyring(sign_ins: SignIns, backend: Backend) -> None:
    SignIns(sign_ins.file).keep(SITE, signed_in("old"))

    found = sign_ins.find(SITE)
    assert found is not None
    assert found.access_token == "old"
    sign_ins.keep(SITE, signed_in("new"))
    assert "old" not in sign_ins.file.read_text()
    assert "new" in backend.values[SERVICE, SITE]


def test_what_the_keyring_does_not_take_is_in_the_file_and_counts(
    sign_ins: SignIns, backend: Backend
) -> None:
    sign_ins.keep(SITE, signed_in("old"))
    backend.is_locked = True
    sign_ins.keep(SITE, signed_in("new"))
    backend.is_locked = False

    found = sign_ins.find(SITE)
    assert found is not None
    assert found.access_token == "new"


def test_a_locked_keyring_is_named_and_quotes_nothing(sign_ins: SignIns, backend: Backend) -> None:
    sign_ins.keep(SITE, signed_in())
    backend.is_locked = True

    with pytest.raises(NotSignedIn, match="unlock") as unread:
        sign_ins.find(SITE)
    with pytest.raises(FileFailed, match="PermissionError") as kept:
        sign_ins.keep(SITE, None)
    assert unread.value.__cause__ is kept.value.__cause__ is None


@pytest.mark.parametrize(("priority", "is_used"), [(5, True), (1, True), (0.5, False), (0, False)])
def test_only_a_safe_backend_is_used(
    monkeypatch: pytest.MonkeyPatch, priority: float, *, is_used: bool
) -> None:
    library = SimpleNamespace(get_keyring=lambda: Backend(priority))
    monkeypatch.setitem(sys.modules, "keyring", library)

    assert (open_keychain() is not None) == is_used


def test_without_the_library_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    assert open_keychain() is None
