"""The endpoint's certificates: made once, renewed in time, good for this machine only."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from transcribe_endpoint.transports.certificates import (
    LIFE,
    RENEWAL,
    Certificates,
    certificates_in,
)

pytestmark = pytest.mark.unit


def _names() -> tuple[str, ...]:
    return ("authority.pem", "bundle.pem", "lock", "server.pem")


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Let both talk to each other in memory; return the client's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    done = set[ssl.SSLObject]()
    for _ in range(8):
        for side in (ours, theirs):
            if side not in done:
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    pass
    assert len(done) == 2
    return ours


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_client_that_trusts_the_authority_trusts_the_server(tmp_path: Path, name: str) -> None:
    certificates = certificates_in(tmp_path)
    client = certificates.client_context(protocols=["h2"])
    found = _handshake(client, certificates.server_context(), name)
    assert found.selected_alpn_protocol() == "h2"
    assert found.version() == "TLSv1.3"


def test_no_other_name_is_certified(tmp_path: Path) -> None:
    certificates = certificates_in(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(certificates.client_context(), certificates.server_context(), "example.com")


def test_nothing_can_sign_for_other_names(tmp_path: Path) -> None:
    """The authority's key is not on the disk, and the server's certificate may sign nothing."""
    certificates = certificates_in(tmp_path)
    server, authority = x509.load_pem_x509_certificates(certificates.server.read_bytes())
    keys = [path for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [certificates.server]
    own = load_pem_private_key(certificates.server.read_bytes(), password=None)
    assert own.public_key() == server.public_key() != authority.public_key()
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    certificates = certificates_in(folder)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert tuple(sorted(modes)) == _names()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes["server.pem"] == 0o600
    for public in (certificates.authority, certificates.bundle):
        assert b"PRIVATE KEY" not in public.read_bytes()


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    certificates_in(tmp_path)
    before = _contents(tmp_path)
    certificates_in(tmp_path)
    assert _contents(tmp_path) == before


def test_everything_is_renewed_before_it_expires(tmp_path: Path) -> None:
    made = datetime.now(UTC) - LIFE + RENEWAL + timedelta(days=1)
    before = _contents_of(certificates_in(tmp_path, now=made - timedelta(days=2)))
    certificates = certificates_in(tmp_path)
    after = _contents_of(certificates)
    assert after[0] != before[0]
    assert after[1] != before[1]
    _handshake(certificates.client_context(), certificates.server_context(), "localhost")


def test_nothing_is_renewed_too_early(tmp_path: Path) -> None:
    made = datetime.now(UTC) - LIFE + RENEWAL + timedelta(days=2)
    before = _contents_of(certificates_in(tmp_path, now=made))
    assert _contents_of(certificates_in(tmp_path)) == before


def test_the_server_lives_no_longer_than_apple_allows(tmp_path: Path) -> None:
    server = x509.load_pem_x509_certificate(certificates_in(tmp_path).server.read_bytes())
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=825)


@pytest.mark.parametrize("name", _names())
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN nonsense", b"\xff\x00"])
def test_what_is_missing_or_damaged_is_made_again(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    certificates_in(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    certificates = certificates_in(tmp_path)
    _handshake(certificates.client_context(), certificates.server_context(), "localhost")
    assert tuple(sorted(path.name for path in tmp_path.iterdir())) == _names()


def test_a_server_of_another_authority_brings_its_authority(tmp_path: Path) -> None:
    here, there = certificates_in(tmp_path / "here"), certificates_in(tmp_path / "there")
    here.server.write_bytes(there.server.read_bytes())
    here = certificates_in(tmp_path / "here")
    _handshake(here.client_context(), here.server_context(), "localhost")


def test_a_key_of_another_certificate_is_replaced(tmp_path: Path) -> None:
    here, there = certificates_in(tmp_path / "here"), certificates_in(tmp_path / "there")
    key = there.server.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
    mark = here.server.read_bytes().index(b"-----BEGIN CERTIFICATE")
    here.server.write_bytes(key + here.server.read_bytes()[mark:])
    here = certificates_in(tmp_path / "here")
    _handshake(here.client_context(), here.server_context(), "localhost")


def test_processes_at_the_same_time_get_the_same_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _contents_of(certificates_in(tmp_path)), range(4)))
    assert len(set(found)) == 1


def test_the_bundle_adds_to_what_the_system_trusts(tmp_path: Path) -> None:
    certificates = certificates_in(tmp_path)
    bundle = certificates.bundle.read_bytes()
    assert bundle.endswith(certificates.authority.read_bytes())
    system = ssl.get_default_verify_paths().cafile
    if system:
        assert bundle.startswith(Path(system).read_bytes())


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _contents_of(certificates: Certificates) -> tuple[bytes, bytes]:
    return certificates.authority.read_bytes(), certificates.server.read_bytes()
