"""A certificate for this machine's own names, and an authority for clients to trust.

AWS's clients use TLS only. `certificates_in(folder)` keeps in the folder

    authority.pem       what clients trust: `NODE_EXTRA_CA_CERTS`, a browser's settings
    bundle.pem          the same behind what the system trusts, for clients that take one file
                        instead of the system's: `SSL_CERT_FILE`
    server.pem          the key of the server, readable by the owner only, its certificate and
                        that of the authority
    lock                held by the process that makes them

and makes all of them again when server.pem is missing, damaged or about to expire. Clients must
then trust the new authority. The key of an authority is never stored: an authority signs one
certificate, for localhost, and nobody can make it vouch for another name.
"""

from __future__ import annotations

import fcntl
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

HOST: Final = "localhost"
ADDRESS: Final = "127.0.0.1"

#: Apple's clients take no certificate of a server that lives longer than 825 days.
LIFE: Final = timedelta(days=820)
#: Renewed when less than this is left, so that none expires under a running server.
RENEWAL: Final = timedelta(days=30)
#: Clocks of clients in containers are sometimes behind.
BACKDATED: Final = timedelta(days=1)

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Certificates:
    """The paths of the certificate files."""

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


def certificates_in(folder: Path, *, now: datetime | None = None) -> Certificates:
    """Return the certificates in `folder`, made or renewed where needed.

    Processes that call this at the same time get the same authority.

    Raises:
        OSError: the folder cannot be written to.
    """
    now = now or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Certificates(folder / "authority.pem", folder / "bundle.pem", folder / "server.pem")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        authority = _valid_authority(found.server, now)
        if authority is None:
            server, authority = _new_pair(now)
            _replace(found.server, server, mode=_PRIVATE)
        found.server.chmod(_PRIVATE)
        _replace(found.authority, authority, mode=_PUBLIC)
        _replace(found.bundle, _system_trust() + authority, mode=_PUBLIC)
    return found


def _new_pair(now: datetime) -> tuple[bytes, bytes]:
    """Return the content of server.pem and the authority that signed it, PEM."""
    # The date distinguishes authorities that a browser has come to trust over the years.
    name = f"local authority {now:%Y-%m-%d}"
    authority = trustme.CA(
        organization_name="Cloudscribe", organization_unit_name=name, path_length=0
    )
    server = authority.issue_cert(
        HOST, ADDRESS, not_before=now - BACKDATED, not_after=now + LIFE - BACKDATED
    )
    trusted = authority.cert_pem.bytes()
    return server.private_key_and_cert_chain_pem.bytes() + trusted, trusted


def _valid_authority(server: Path, now: datetime) -> bytes | None:
    """Return the authority in server.pem; None where a new server.pem is needed."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server, password="")
        certificate, authority = x509.load_pem_x509_certificates(server.read_bytes())
    except (OSError, ValueError):  # missing; no PEM, a wrong key, or another number of certificates
        return None
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWAL:
        return None
    return authority.public_bytes(Encoding.PEM)


def _system_trust() -> bytes:
    path = ssl.get_default_verify_paths().cafile
    trusted = Path(path).read_bytes() if path else b""
    return trusted if not trusted or trusted.endswith(b"\n") else trusted + b"\n"


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Write `content` to `path` atomically, where it differs."""
    if path.exists() and path.read_bytes() == content:
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).chmod(mode)
    Path(name).replace(path)
