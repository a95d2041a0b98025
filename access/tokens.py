"""Verifies access tokens of an OpenID Connect issuer, and keeps the issuer's keys.

The algorithms are fixed here, whatever a token claims (RFC 8725, section 3.1). Access tokens of
Amazon Cognito name their client in `client_id` and have no audience; others have an audience.

    TokenRefused        the token is not valid; the message says why, without quoting it
    IssuerUnavailable   the issuer's keys cannot be fetched, and none are known
"""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from access.callers import Person

#: What issuers sign access tokens with; symmetric algorithms and `none` never count.
ALGORITHMS: Final = ("RS256", "ES256")
#: Clocks may differ by so much, seconds.
LEEWAY: Final = 30
#: Longer texts are no tokens, bytes.
MOST_BYTES: Final = 8_192
#: The largest set of keys that is read, bytes.
MOST_KEY_BYTES: Final = 65_536
#: Known keys are fetched again after this time, seconds.
KEYS_LAST: Final = 3_600.0
#: An unknown key id causes no second fetch for so long, seconds.
KEYS_REST: Final = 10.0
#: Claims of other tokens: ID tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.6), logout
#: tokens and other events (RFC 8417), and tokens that count only with a proof of a key (RFC 7800).
#: Where the audience of all is the same, none of them must pass for an access token.
_OTHER_CLAIMS: Final = frozenset({"nonce", "at_hash", "c_hash", "events", "cnf"})

#: The longest subject. OpenID Connect Core 1.0, section 2.
_LONGEST_SUBJECT: Final = 255


def person_id(issuer: str, subject: str) -> str:
    """Return the id of a person: 26 letters and digits, for an issuer's `sub` may hold anything.

    Another issuer's person with the same `sub` is somebody else.
    """
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()
    return b32encode(digest[:16]).decode().rstrip("=").lower()


class TokenRefused(Exception):
    """The access token is not valid."""


class IssuerUnavailable(Exception):
    """The issuer's keys cannot be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whose tokens are accepted.

    Attributes:
        issuer: the value of `iss`.
        audience: in `aud`, or with `is_cognito` in `client_id`.
        is_cognito: whether tokens have Cognito's claims `client_id` and `token_use`.
        groups_claim: the claim with a person's groups.
        administrators: the group of administrators.
    """

    issuer: str
    audience: frozenset[str]
    is_cognito: bool
    groups_claim: str = "cognito:groups"
    administrators: str = "admins"


class IssuerKeys:
    """The issuer's public keys, fetched when they are needed and by one thread at a time.

    Args:
        fetch: returns the JSON Web Key Set; raises OSError or ValueError.
        clock: returns seconds that only grow.
    """

    def __init__(self, fetch: Callable[[], bytes], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with an id; None if the issuer has none.

        Raises:
            IssuerUnavailable: no keys are known.
        """
        with self._lock:
            now = self._clock()
            is_old = self._fetched_at is None or now - self._fetched_at >= KEYS_LAST
            may_try = self._tried_at is None or now - self._tried_at >= KEYS_REST
            if (is_old or key_id not in self._keys) and may_try:
                self._tried_at = now
                self._refresh(now)
            if self._fetched_at is None:
                raise IssuerUnavailable("the issuer's keys cannot be fetched")
            return self._keys.get(key_id)

    def _refresh(self, now: float) -> None:
        try:
            found = json.loads(self._fetch()[: MOST_KEY_BYTES + 1])
            listed = found["keys"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return  # the known keys stay in use
        keys = {}
        for one in listed if isinstance(listed, list) else ():
            try:
                key = jwt.PyJWK.from_dict(one)
            except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
                continue  # of a kind that is not used here
            if key.key_id and key.algorithm_name in ALGORITHMS:
                keys[key.key_id] = key
        if keys:
            self._keys, self._fetched_at = keys, now


class TokenVerifier:
    """Verifies access tokens."""

    def __init__(self, issuer: Issuer, keys: IssuerKeys) -> None:
        self._issuer = issuer
        self._keys = keys

    def verify(self, token: str) -> Person:
        """Return the person whose access token this is.

        Raises:
            TokenRefused: it is not valid.
            IssuerUnavailable: that cannot be known at present.
        """
        if len(token) > MOST_BYTES or not token.isascii():
            raise TokenRefused("not a token")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise TokenRefused("not a token") from None
        key_id, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(key_id, str) or algorithm not in ALGORITHMS:
            raise TokenRefused("not signed with a key of the issuer")
        key = self._keys.find(key_id)
        if key is None or key.algorithm_name != algorithm:
            raise TokenRefused("not signed with a key of the issuer")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer.issuer,
                audience=None if self._issuer.is_cognito else self._issuer.audience,
                leeway=LEEWAY,
                options={
                    "require": ["exp", "iat", "iss", "sub"],
                    "verify_aud": not self._issuer.is_cognito,
                },
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("expired") from None
        except jwt.InvalidTokenError as error:
            raise TokenRefused(f"refused: {type(error).__name__}") from None
        return self._person(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        issuer = self._issuer
        client = claims.get("client_id")
        if issuer.is_cognito and (
            claims.get("token_use") != "access"
            or not isinstance(client, str)
            or client not in issuer.audience
        ):
            raise TokenRefused("not an access token of this application")
        if not issuer.is_cognito and not _OTHER_CLAIMS.isdisjoint(claims):
            raise TokenRefused("not an access token for bearers")
        subject = claims["sub"]
        if not 1 <= len(subject) <= _LONGEST_SUBJECT:
            raise TokenRefused("its subject is malformed")
        groups = claims.get(issuer.groups_claim)
        names = groups if isinstance(groups, list) else []
        return Person(
            person_id(issuer.issuer, subject), is_administrator=issuer.administrators in names
        )
