from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from access.callers import Person
from access.tokens import (
    KEYS_LAST,
    KEYS_REST,
    Issuer,
    IssuerKeys,
    IssuerUnavailable,
    TokenRefused,
    TokenVerifier,
    person_id,
)
from tests.support.access import CLIENT, ISSUER, NOW, IssuerKey, forge, hs256, issuer_key, key_set

pytestmark = pytest.mark.unit

ADA = person_id(ISSUER, "ada")
COGNITO = Issuer(issuer=ISSUER, audience=frozenset({CLIENT}), is_cognito=True)
OTHER = Issuer(issuer=ISSUER, audience=frozenset({"api"}), is_cognito=False, groups_claim="groups")


class Server:
    """An issuer's address for keys, with a clock."""

    def __init__(self, *keys: IssuerKey) -> None:
        self.answer: bytes | OSError = key_set(*keys or (issuer_key(),))
        self.requests = 0
        self.now = 0.0

    def fetch(self) -> bytes:
        self.requests += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def verifier(self, issuer: Issuer = COGNITO) -> TokenVerifier:
        return TokenVerifier(issuer, IssuerKeys(self.fetch, lambda: self.now))


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(jwt.api_jwt.datetime):  # type: ignore[misc,name-defined]  # PyJWT has no clock
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOW.astimezone(tz)

    monkeypatch.setattr(jwt.api_jwt, "datetime", Clock)


def refused(token: str, server: Server | None = None, issuer: Issuer = COGNITO) -> None:
    with pytest.raises(TokenRefused) as error:
        (server or Server()).verifier(issuer).verify(token)
    assert len(token) < 50 or token not in str(error.value)


def seconds(offset: float) -> int:
    return int(NOW.timestamp() + offset)


def test_an_access_token_names_the_person() -> None:
    token = issuer_key().sign(**{"cognito:groups": ["readers", "admins"]})

    assert Server().verifier().verify(token) == Person(ADA, is_administrator=True)
    assert Server().verifier().verify(issuer_key().sign()) == Person(ADA)


def test_another_issuer_names_its_audience_and_groups() -> None:
    token = issuer_key().sign(aud="api", client_id=None, token_use=None, groups=["admins"])

    assert Server().verifier(OTHER).verify(token) == Person(ADA, is_administrator=True)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": seconds(-31)}, id="expired"),
        pytest.param({"exp": None}, id="without end"),
        pytest.param({"nbf": seconds(31)}, id="not valid yet"),
        pytest.param({"iat": seconds(31)}, id="issued in the future"),
        pytest.param({"iss": "https://evil.test"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"client_id": "another"}, id="another application"),
        pytest.param({"client_id": None, "aud": CLIENT}, id="no client"),
        pytest.param({"client_id": [CLIENT]}, id="a list of clients"),
        pytest.param({"token_use": "id"}, id="an id token"),
        pytest.param({"token_use": None}, id="no use"),
        pytest.param({"sub": None}, id="nobody"),
        pytest.param({"sub": ""}, id="an empty subject"),
        pytest.param({"sub": "a" * 256}, id="a subject that is too long"),
    ],
)
def test_a_token_with_other_claims_is_refused(claims: dict[str, Any]) -> None:
    refused(issuer_key().sign(**claims))


@pytest.mark.parametrize("groups", ["admins", {"admins": 1}, None, 7])
def test_groups_of_another_form_make_no_administrator(groups: Any) -> None:
    token = issuer_key().sign(**{"cognito:groups": groups})

    assert Server().verifier().verify(token) == Person(ADA)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"aud": "api", "nonce": "n"},
        {"aud": "api", "at_hash": "h"},
        {"aud": "api", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"aud": "api", "cnf": {"jkt": "a key's thumbprint"}},
    ],
)
def test_what_is_not_for_the_api_of_another_issuer_is_refused(claims: dict[str, Any]) -> None:
    refused(issuer_key().sign(client_id=None, token_use=None, **claims), issuer=OTHER)


def make(
    sign: Callable[[bytes], bytes], algorithm: str, key_id: str = "first", **header: Any
) -> str:
    claims = jwt.decode(issuer_key().sign(), options={"verify_signature": False})
    return forge({"alg": algorithm, "kid": key_id} | header, claims, sign)


def with_key(key: IssuerKey) -> Callable[[bytes], bytes]:
    return lambda signed: key.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def _public_key() -> bytes:
    public = issuer_key().private.public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda: make(lambda _: b"", "none"), id="no signature"),
        pytest.param(lambda: make(hs256(_public_key()), "HS256"), id="public key as secret"),
        pytest.param(lambda: make(with_key(issuer_key("second")), "RS256"), id="another key"),
        pytest.param(lambda: make(with_key(issuer_key()), "PS256"), id="another algorithm"),
        pytest.param(lambda: make(with_key(issuer_key()), "ES256"), id="a key's other algorithm"),
        pytest.param(
            lambda: make(
                with_key(issuer_key("second")), "RS256", jwk=issuer_key("second").public()
            ),
            id="a key in the header",
        ),
        pytest.param(
            lambda: make(
                *(with_key(issuer_key("second")), "RS256"),
                jku="https://evil.test/keys",
                x5u="https://evil.test/keys",
            ),
            id="an address of keys in the header",
        ),
        pytest.param(
            lambda: make(with_key(issuer_key()), "RS256", crit=["exp"], exp=0),
            id="an unknown extension",
        ),
        pytest.param(
            lambda: make(with_key(issuer_key()), "RS256", crit=["b64"], b64=False),
            id="an unencoded payload",
        ),
        pytest.param(
            lambda: make(with_key(issuer_key()), "RS256", key_id="../first"), id="a path as key id"
        ),
        pytest.param(lambda: forge({"alg": "RS256"}, {}), id="no key id"),
        pytest.param(lambda: issuer_key().sign() + "x", id="changed"),
        pytest.param(lambda: "a.b.c", id="no token"),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "x" * 9_000, id="too long"),
    ],
)
def test_what_the_issuer_did_not_sign_is_refused(attempt: Callable[[], str]) -> None:
    refused(attempt())


@given(text=st.text())
def test_any_text_is_refused_without_another_error(text: str) -> None:
    refused(text)


def test_a_new_key_of_the_issuer_is_fetched() -> None:
    server = Server()
    verifier = server.verifier()
    verifier.verify(issuer_key().sign())
    server.answer = key_set(issuer_key(), issuer_key("second"))
    server.now += KEYS_REST

    assert verifier.verify(issuer_key("second").sign()) == Person(ADA)
    assert server.requests == 2


def test_unknown_keys_cause_one_request_at_a_time() -> None:
    server = Server()
    verifier = server.verifier()
    for _ in range(100):
        with pytest.raises(TokenRefused):
            verifier.verify(make(with_key(issuer_key("second")), "RS256", "unknown"))

    assert server.requests == 1


def test_known_keys_stay_in_use_while_the_issuer_is_away() -> None:
    server = Server()
    verifier = server.verifier()
    verifier.verify(issuer_key().sign())
    server.answer = OSError("away")
    server.now += KEYS_LAST

    assert verifier.verify(issuer_key().sign()) == Person(ADA)
    assert server.requests == 2


def test_a_withdrawn_key_is_refused_after_the_next_fetch() -> None:
    server = Server()
    verifier = server.verifier()
    verifier.verify(issuer_key().sign())
    server.answer = key_set(issuer_key("second"))
    server.now += KEYS_LAST

    with pytest.raises(TokenRefused):
        verifier.verify(issuer_key().sign())


@pytest.mark.parametrize(
    "answer",
    [OSError("away"), b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}', b"\xff", b"[" * 60_000],
)
def test_without_any_key_the_issuer_is_unavailable(answer: bytes | OSError) -> None:
    server = Server()
    server.answer = answer

    with pytest.raises(IssuerUnavailable):
        server.verifier().verify(issuer_key().sign())


def test_keys_of_other_kinds_are_left_out() -> None:
    server = Server()
    symmetric = {
        "kty": "oct",
        "kid": "first",
        "k": base64.urlsafe_b64encode(b"s" * 32).decode(),
        "alg": "HS256",
    }
    server.answer = json.dumps({"keys": [symmetric, issuer_key("second").public()]}).encode()

    refused(make(hs256(b"s" * 32), "HS256"), server)


def test_people_of_different_issuers_are_different() -> None:
    ids = {person_id(issuer, sub) for issuer in ("a", "b") for sub in ("x", "x y", "x/#|y")}

    assert len(ids) == 6
    assert all(re.fullmatch("[a-z2-7]{26}", one) for one in ids)
