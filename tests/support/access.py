"""Callers, records and keys for the tests of access."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from access.records import ApiKey, ConversationRecord, Role, Scope, ShareLink
from access.secret import make_id
from access.tickets import SigningKey

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
#: Far enough away that no leeway matters.
LATER = NOW + timedelta(days=30)
BEFORE = NOW - timedelta(days=1)
CONVERSATION = "b4meeting"
ISSUER = "https://issuer.test/pool"
CLIENT = "client-of-this-application"


def record(**values: Any) -> ConversationRecord:
    """Return Ada's conversation, in which Sam speaks and Rita reads."""
    given = {
        "conversation_id": CONVERSATION,
        "title": "Meeting",
        "owner": "ada",
        "created_at": BEFORE,
        "people": {"sam": Role.SPEAKER, "rita": Role.READER},
    }
    return ConversationRecord.model_validate(given | values)


def link(role: Role = Role.READER, **values: Any) -> ShareLink:
    """Return a share link that is not over."""
    given = {
        "role": role,
        "label": "hall",
        "secret_hash": "0" * 64,
        "created_at": BEFORE,
        "expires_at": LATER,
    }
    return ShareLink.model_validate(given | values)


def api_key(subject: str = "ada", *scopes: Scope, **values: Any) -> ApiKey:
    """Return an API key that is not over, for everything unless scopes are given."""
    given = {
        "key_id": "k1",
        "subject": subject,
        "label": "subtitles",
        "scopes": frozenset(scopes or Scope),
        "secret_hash": "0" * 64,
        "created_at": BEFORE,
        "expires_at": LATER,
    }
    return ApiKey.model_validate(given | values)


def signing_key() -> SigningKey:
    """Return a new key for tickets."""
    return SigningKey(make_id(), Ed25519PrivateKey.generate())


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key of an issuer of access tokens."""

    id: str
    private: rsa.RSAPrivateKey

    def sign(self, **claims: Any) -> str:
        """Return an access token as Amazon Cognito signs it; None leaves a claim out."""
        given = {
            "iss": ISSUER,
            "sub": "ada",
            "client_id": CLIENT,
            "token_use": "access",
            "iat": int(NOW.timestamp()),
            "exp": int(LATER.timestamp()),
        } | claims
        held = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(held, self.private, "RS256", headers={"kid": self.id})

    def public(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key."""
        algorithm = jwt.get_algorithm_by_name("RS256")
        found = json.loads(algorithm.to_jwk(self.private.public_key()))
        return {**found, "kid": self.id, "use": "sig", "alg": "RS256"}


@cache
def issuer_key(key_id: str = "first") -> IssuerKey:
    """Return a key; making one takes a tenth of a second, so each is made once."""
    return IssuerKey(key_id, rsa.generate_private_key(public_exponent=65_537, key_size=2_048))


def key_set(*keys: IssuerKey) -> bytes:
    """Return the JSON Web Key Set that an issuer publishes."""
    return json.dumps({"keys": [key.public() for key in keys]}).encode()


def forge(
    header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes] = lambda _: b""
) -> str:
    """Return a JWT as an attacker makes it, whose library refuses nothing."""
    parts = [_encode(json.dumps(header).encode()), _encode(json.dumps(claims).encode())]
    signed = ".".join(parts)
    return f"{signed}.{_encode(sign(signed.encode()))}"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    """Return the signing of HS256."""
    return lambda signed: hmac.digest(secret, signed, "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
