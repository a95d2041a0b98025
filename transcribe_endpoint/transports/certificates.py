"""A certificate for this machine's own names, and an authority for clients to trust.

AWS's clients use TLS only. `certificates_in(folder)` keeps in the folder

    authority.pem       what clients trust: `NODE_EXTRA_CA_CERTS`, a browser's settings
    bundle.pem          the same behind what the system trusts, for clients that take one file
                        instead of the system's: `SSL_CERT_FILE`
    authority-key.pem   the authority with its key, readable by the owner only
    server.pem          the certificate of the server with its key, readable by the owner only

and makes what is missing, unreadable, or about to expire. The authority stays when only the
server's certificate is renewed, so clients keep trusting it. It may sign for localhost only
(RFC 5280, 4.2.1.10): a stolen key can impersonate that name and no other.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST: Final = "localhost"
ADDRESS: Final = IPv4Address("127.0.0.1")

AUTHORITY_LIFE: Final = timedelta(days=3650)
#: Apple's clients take no certificate of a server that lives longer than 825 days.
SERVER_LIFE: Final = timedelta(days=365)
#: Renewed when less than this is left, so that none expires under a running server.
RENEWAL: Final = timedelta(days=30)
#: Clocks of clients in containers are sometimes behind.
BACKDATED: Final = timedelta(days=1)

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files lie."""

    authority: Path
    bundle: Path
    server: Path

    def server_context(self, *, protocols: Iterable[str] = ("h2", "http/1.1")) -> ssl.SSLContext:
        """Return the context of a server that offers `protocols` (ALPN), the best first."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server)
        context.set_alpn_protocols(list(protocols))
        return context

    def client_context(self, *, protocols: Iterable[str] = ()) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority and no other."""
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(list(protocols))
        return context


@dataclass(frozen=True, slots=True)
class _Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return key + _pem(self.certificate)


def certificates_in(folder: Path, *, now: datetime | None = None) -> Certificates:
    """Return the certificates in `folder`, made or renewed where needed.

    Processes that call this at the same time get the same authority.

    Raises:
        OSError: the folder cannot be written to.
    """
    now = now or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key = folder / "authority-key.pem"
    found = Certificates(folder / "authority.pem", folder / "bundle.pem", folder / "server.pem")

    authority = _read(authority_key)
    if authority is None or not _lives(authority, now):
        if authority_key.exists():
            authority_key.unlink()  # expired or damaged
        _create(authority_key, _new_authority(now).pem())
        authority = _read(authority_key)
        if authority is None:
            raise OSError(f"{authority_key} cannot be read back")
    server = _read(found.server)
    if server is None or not _lives(server, now) or not _signed_by(authority, server):
        _replace(found.server, _new_server(authority, now).pem(), mode=_PRIVATE)

    trusted = _pem(authority.certificate)
    _replace(found.authority, trusted, mode=_PUBLIC)
    _replace(found.bundle, _system_trust() + trusted, mode=_PUBLIC)
    return found


# --- certificates ---------------------------------------------------------------------------


def _new_authority(now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    # The date distinguishes authorities that a browser has come to trust over the years.
    name = _name(f"Cloudscribe local authority {now:%Y-%m-%d}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Of names only: the TLS of AWS's SDKs (aws-lc) refuses authorities with a rule on addresses.
    only = x509.NameConstraints(permitted_subtrees=[x509.DNSName(HOST)], excluded_subtrees=None)
    certificate = (
        _builder(name, name, key, now=now, life=AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(only, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Identity(certificate, key)


def _new_server(authority: _Identity, now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ADDRESS)])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_name(HOST), authority.certificate.subject, key, now=now, life=SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Identity(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _lives(identity: _Identity, now: datetime) -> bool:
    certificate = identity.certificate
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWAL


def _signed_by(authority: _Identity, identity: _Identity) -> bool:
    try:
        identity.certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _system_trust() -> bytes:
    path = ssl.get_default_verify_paths().cafile
    trusted = Path(path).read_bytes() if path else b""
    return trusted if not trusted or trusted.endswith(b"\n") else trusted + b"\n"


# --- files ----------------------------------------------------------------------------------


def _read(path: Path) -> _Identity | None:
    """Return what `path` holds if it is a certificate with its own key."""
    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    if certificate.public_key() != key.public_key():
        return None
    path.chmod(_PRIVATE)
    return _Identity(certificate, key)


def _create(path: Path, content: bytes) -> None:
    """Write a private file unless there is one by now."""
    written = _written(path, content, mode=_PRIVATE)
    try:
        # Unlike a rename, a link does not replace a file that another process has made meanwhile.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(written)
    finally:
        written.unlink()


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Write `content` to `path` atomically, where it differs."""
    if not path.exists() or path.read_bytes() != content:
        _written(path, content, mode=mode).replace(path)


def _written(path: Path, content: bytes, *, mode: int) -> Path:
    """Return a new file beside `path` that holds `content`."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    written = Path(name)
    written.chmod(mode)
    return written
