"""The endpoint's authority: made once, renewed in time, good for this machine only."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from transcribe_endpoint.transports.certificates import (
    AUTHORITY_LIFE,
    SERVER_LIFE,
    Certificates,
    certificates_in,
)

pytestmark = pytest.mark.unit


def _names() -> tuple[str, ...]:
    return ("authority-key.pem", "authority.pem", "bundle.pem", "server.pem")


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


def test_the_authority_cannot_vouch_for_other_names(tmp_path: Path) -> None:
    """Even with its key, which lies on the disk."""
    certificates = certificates_in(tmp_path)
    authority = x509.load_pem_x509_certificate(certificates.authority.read_bytes())
    key = load_pem_private_key((tmp_path / "authority-key.pem").read_bytes(), password=None)
    server = certificates.server.read_bytes()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = load_pem_private_key(server, password=None)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = server[: server.index(b"-----BEGIN CERTIFICATE")]
    certificates.server.write_bytes(private + _pem(forged))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        _handshake(certificates.client_context(), certificates.server_context(), "bank.example")


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    certificates = certificates_in(folder)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert tuple(sorted(modes)) == _names()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes["server.pem"] == modes["authority-key.pem"] == 0o600
    for public in (certificates.authority, certificates.bundle):
        assert b"PRIVATE KEY" not in public.read_bytes()


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    certificates_in(tmp_path)
    before = _contents(tmp_path)
    certificates_in(tmp_path)
    assert _contents(tmp_path) == before


def test_the_server_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    before = _contents_of(certificates_in(tmp_path))
    now = datetime.now(UTC) + SERVER_LIFE - timedelta(days=29)
    after = _contents_of(certificates_in(tmp_path, now=now))
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_an_expired_authority_is_replaced_with_all_it_signed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    before = _contents_of(certificates_in(tmp_path, now=now - AUTHORITY_LIFE))
    certificates = certificates_in(tmp_path, now=now)
    after = _contents_of(certificates)
    assert after[0] != before[0]
    _handshake(certificates.client_context(), certificates.server_context(), "localhost")


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


def test_a_server_of_another_authority_is_replaced(tmp_path: Path) -> None:
    here, there = certificates_in(tmp_path / "here"), certificates_in(tmp_path / "there")
    here.server.write_bytes(there.server.read_bytes())
    here = certificates_in(tmp_path / "here")
    _handshake(here.client_context(), here.server_context(), "localhost")


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


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
