from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from access.callers import Caller, Guest, Person
from access.decisions import Action
from access.tickets import (
    ALGORITHM,
    LEEWAY,
    MOST_BYTES,
    TYPE,
    SigningKey,
    Ticket,
    TicketError,
    TicketReason,
    check_use,
    issue_ticket,
    sign_ticket,
    verify_ticket,
)
from tests.support.access import CONVERSATION, NOW, forge, hs256, issuer_key, signing_key

pytestmark = pytest.mark.unit

KEY = signing_key()


def issue(
    caller: Caller | None = None,
    *,
    speaks: bool = False,
    languages: frozenset[str] | None = None,
    ends_at: datetime | None = None,
) -> Ticket:
    return issue_ticket(
        caller or Guest("l1"),
        Action.SPEAK if speaks else Action.READ,
        CONVERSATION,
        languages=languages,
        ends_at=ends_at,
        now=NOW,
    )


def verify(token: str, now: datetime = NOW, key: SigningKey = KEY) -> Ticket:
    return verify_ticket(token, lambda id_: key.key.public_key() if id_ == key.id else None, now)


def refusal(token: str, now: datetime = NOW, key: SigningKey = KEY) -> TicketReason:
    with pytest.raises(TicketError) as refused:
        verify(token, now, key)
    assert len(token) < 50 or token not in str(refused.value)
    return refused.value.reason


def make(sign: Callable[[bytes], bytes] = KEY.key.sign, **header: Any) -> str:
    claims = issue().model_dump(mode="json", by_alias=True, exclude_none=True)
    return forge({"alg": ALGORITHM, "kid": KEY.id, "typ": TYPE} | header, claims, sign)


@pytest.mark.parametrize("caller", [Guest("l1"), Person("ada"), Person("ada", key="k1")])
def test_a_ticket_reads_back(caller: Caller) -> None:
    ticket = issue(caller, languages=frozenset({"de"}))

    read = verify(sign_ticket(ticket, KEY))

    assert read == ticket
    assert read.caller == caller


def test_a_ticket_makes_nobody_an_administrator() -> None:
    assert issue(Person("root", is_administrator=True)).caller == Person("root")


@pytest.mark.parametrize(
    ("ticket", "seconds"),
    [
        (issue(speaks=True), 120),
        (issue(Person("ada")), 600),
        (issue(Guest("l1")), 12 * 3600),
        (issue(Guest("l1"), ends_at=NOW + timedelta(seconds=90)), 90),
    ],
)
def test_a_ticket_lasts_as_long_as_it_should(ticket: Ticket, seconds: int) -> None:
    end = NOW + timedelta(seconds=seconds)
    token = sign_ticket(ticket, KEY)

    assert verify(token, end) == ticket  # clocks may differ
    assert refusal(token, end + LEEWAY) is TicketReason.EXPIRED


def test_a_ticket_of_the_future_is_invalid() -> None:
    token = sign_ticket(issue(), KEY)

    assert verify(token, NOW - LEEWAY)
    assert refusal(token, NOW - LEEWAY - timedelta(seconds=1)) is TicketReason.INVALID


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda: sign_ticket(issue(), signing_key()), id="unknown key"),
        pytest.param(lambda: make(signing_key().key.sign), id="another key under this id"),
        pytest.param(
            lambda: make(signing_key().key.sign, jku="https://evil.test", jwk={"kty": "OKP"}),
            id="a key in the header",
        ),
        pytest.param(lambda: make(lambda _: b"", alg="none"), id="no signature"),
        pytest.param(lambda: make(hs256(_public_key()), alg="HS256"), id="public key as secret"),
        pytest.param(lambda: make(alg="RS256"), id="another algorithm"),
        pytest.param(lambda: make(typ="JWT"), id="another type"),
        pytest.param(lambda: make(kid=7), id="key id that is no text"),
        pytest.param(lambda: make(kid="../../etc"), id="key id that is a path"),
        pytest.param(lambda: make(crit=["exp"]), id="unknown extension"),
        pytest.param(lambda: issuer_key().sign(), id="access token"),
        pytest.param(lambda: "x" * (MOST_BYTES + 1), id="too long"),
        pytest.param(lambda: "", id="empty"),
    ],
)
def test_what_is_not_signed_by_the_api_is_invalid(attempt: Callable[[], str]) -> None:
    assert refusal(attempt()) is TicketReason.INVALID


def _public_key() -> bytes:
    return KEY.key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )


@given(position=st.integers(0, 400), flipped=st.integers(1, 255))
def test_a_changed_ticket_is_invalid(position: int, flipped: int) -> None:
    parts = [
        bytearray(base64.urlsafe_b64decode(part + "=="))
        for part in sign_ticket(issue(), KEY).split(".")
    ]
    part = parts[position % 3]
    part[position % len(part)] ^= flipped
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    assert refusal(token) is TicketReason.INVALID


@given(text=st.text(alphabet=st.characters(max_codepoint=0x2FF)))
def test_any_text_is_refused_without_another_error(text: str) -> None:
    assert refusal(text) is TicketReason.INVALID


@given(
    claims=st.dictionaries(
        st.sampled_from(["jti", "cid", "act", "knd", "sub", "key", "lng", "iat", "exp"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()) | st.floats(),
    )
)
def test_claims_of_any_form_are_refused_without_another_error(claims: dict[str, Any]) -> None:
    valid = issue().model_dump(mode="json", by_alias=True, exclude_none=True)
    token = forge({"alg": ALGORITHM, "kid": KEY.id, "typ": TYPE}, valid | claims, KEY.key.sign)
    with contextlib.suppress(TicketError):
        verify(token)


@pytest.mark.parametrize(
    ("action", "conversation", "language"),
    [
        (Action.SPEAK, CONVERSATION, None),
        (Action.READ, "another", None),
        (Action.READ, CONVERSATION, "fr"),
    ],
)
def test_a_ticket_is_for_one_thing(action: Action, conversation: str, language: str | None) -> None:
    ticket = issue(languages=frozenset({"de"}))

    with pytest.raises(TicketError) as refused:
        check_use(ticket, action, conversation, language)

    assert refused.value.reason is TicketReason.MISMATCH
    check_use(ticket, Action.READ, CONVERSATION, "de")
    check_use(ticket, Action.READ, CONVERSATION, "de-AT")
    check_use(ticket, Action.READ, CONVERSATION)


def test_a_ticket_fits_into_a_handshake() -> None:
    languages = frozenset(f"zh-Hant-{number:02}" for number in range(10))
    longest = issue_ticket(
        Person("s" * 64, key="k" * 26),
        Action.READ,
        "c" * 128,
        languages=languages,
        ends_at=None,
        now=NOW,
    )

    assert len(sign_ticket(longest, KEY)) <= MOST_BYTES
