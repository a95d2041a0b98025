from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.callers import Caller, Guest, Person
from access.decisions import Action, Allowed, Decision, Reason, Refused, Standing, may, may_give
from access.records import Role, Scope
from tests.support.access import LATER, NOW, api_key, link, record

pytestmark = pytest.mark.unit

OF_A_CONVERSATION = (Action.READ, Action.SPEAK, Action.MANAGE)
MEETING = Standing(record())


def decide(caller: Caller | None, action: Action, standing: Standing = MEETING) -> Decision:
    return may(caller, action, standing, NOW)


@pytest.mark.parametrize(
    ("subject", "actions"),
    [
        ("ada", {Action.READ, Action.SPEAK, Action.MANAGE}),
        ("sam", {Action.READ, Action.SPEAK}),
        ("rita", {Action.READ}),
        ("mallory", set()),
    ],
)
def test_a_role_allows_what_the_table_of_roles_says(subject: str, actions: set[Action]) -> None:
    allowed = {a for a in OF_A_CONVERSATION if decide(Person(subject), a) == Allowed()}

    assert allowed == actions


@given(action=st.sampled_from(Action))
def test_nobody_may_do_nothing(action: Action) -> None:
    assert decide(None, action) == Refused(Reason.NOT_SIGNED_IN)


@given(action=st.sampled_from(OF_A_CONVERSATION), is_administrator=st.booleans())
def test_a_foreign_conversation_looks_like_none(*, action: Action, is_administrator: bool) -> None:
    mallory = Person("mallory", is_administrator=is_administrator)

    assert decide(mallory, action) == decide(mallory, action, Standing(None))
    assert decide(mallory, action) == Refused(Reason.NOT_FOUND)


@given(
    caller=st.builds(
        Person, st.sampled_from(["ada", "sam", "rita", "mallory"]), st.booleans(), st.none()
    ),
    action=st.sampled_from(Action),
)
def test_who_is_blocked_may_do_nothing(caller: Person, action: Action) -> None:
    assert decide(caller, action, Standing(record(), is_blocked=True)) == Refused(Reason.BLOCKED)


@given(
    subject=st.sampled_from(["ada", "sam", "rita", "mallory"]),
    is_administrator=st.booleans(),
    action=st.sampled_from(Action),
    scopes=st.sets(st.sampled_from(Scope), min_size=1),
)
def test_a_key_never_allows_more_than_its_person(
    *, subject: str, is_administrator: bool, action: Action, scopes: set[Scope]
) -> None:
    standing = Standing(record(), key=api_key(subject, *scopes))

    by_key = decide(Person(subject, is_administrator, key="k1"), action, standing)

    if isinstance(by_key, Allowed):
        assert decide(Person(subject, is_administrator), action) == by_key
        assert action not in {Action.MANAGE_KEYS, Action.MANAGE_PEOPLE}


def test_a_key_does_only_what_its_scopes_name() -> None:
    reading = Standing(record(), key=api_key("ada", Scope.READ))
    ada = Person("ada", key="k1")

    assert decide(ada, Action.READ, reading) == Allowed()
    assert decide(ada, Action.SPEAK, reading) == Refused(Reason.SCOPE_MISSING)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(None, id="revoked"),
        pytest.param(api_key("sam"), id="another person's"),
        pytest.param(api_key("ada", key_id="k2"), id="another key"),
        pytest.param(api_key("ada", expires_at=NOW), id="over"),
    ],
)
def test_a_key_that_does_not_stand_is_refused(key: object) -> None:
    standing = Standing(record(), key=key)  # type: ignore[arg-type]  # one of None and ApiKey

    assert decide(Person("ada", key="k1"), Action.READ, standing) == Refused(Reason.KEY_INVALID)


@pytest.mark.parametrize(
    ("role", "action", "decision"),
    [
        (Role.READER, Action.READ, Allowed()),
        (Role.READER, Action.SPEAK, Refused(Reason.ROLE_MISSING)),
        (Role.SPEAKER, Action.SPEAK, Allowed()),
        (Role.SPEAKER, Action.MANAGE, Refused(Reason.NOT_SIGNED_IN)),
        (Role.SPEAKER, Action.CREATE, Refused(Reason.NOT_SIGNED_IN)),
    ],
)
def test_a_guest_does_what_the_link_is_for(role: Role, action: Action, decision: Decision) -> None:
    standing = Standing(record(links={"l1": link(role)}))

    assert decide(Guest("l1"), action, standing) == decision


def test_a_link_that_was_revoked_or_is_over_lets_nobody_in() -> None:
    over = Standing(record(links={"l1": link(expires_at=NOW)}))

    assert decide(Guest("l1"), Action.READ, over) == Refused(Reason.LINK_INVALID)
    assert decide(Guest("l2"), Action.READ, over) == Refused(Reason.LINK_INVALID)
    assert decide(Guest("l1"), Action.READ, Standing(None)) == Refused(Reason.LINK_INVALID)


def test_a_link_may_be_for_some_languages() -> None:
    standing = Standing(record(links={"l1": link(languages=("de", "fr"))}))

    assert decide(Guest("l1"), Action.READ, standing) == Allowed(frozenset({"de", "fr"}))


@pytest.mark.parametrize("language", [None, "de", "de-AT", "zh-hant-HK"])
def test_a_language_of_a_link_includes_its_regions(language: str | None) -> None:
    assert Allowed(frozenset({"de", "zh-Hant"})).admits(language)
    assert Allowed().admits(language)


@pytest.mark.parametrize("language", ["den", "zh", "zh-Hans", "fr"])
def test_a_language_of_a_link_includes_no_other(language: str) -> None:
    assert not Allowed(frozenset({"de", "zh-Hant"})).admits(language)


def test_only_administrators_manage_people_and_get_no_role_by_it() -> None:
    root = Person("root", is_administrator=True)

    assert decide(root, Action.MANAGE_PEOPLE) == Allowed()
    assert decide(root, Action.READ) == Refused(Reason.NOT_FOUND)
    assert decide(Person("ada"), Action.MANAGE_PEOPLE) == Refused(Reason.ADMINISTRATORS_ONLY)


@given(seconds=st.integers(-10, 10))
def test_a_link_ends_at_its_end(seconds: int) -> None:
    standing = Standing(record(links={"l1": link()}))

    decision = may(Guest("l1"), Action.READ, standing, LATER + timedelta(seconds=seconds))

    assert isinstance(decision, Allowed) == (seconds < 0)


def test_a_blocked_owners_links_let_nobody_in() -> None:
    standing = Standing(record(links={"l1": link()}), is_owner_blocked=True)

    assert decide(Guest("l1"), Action.READ, standing) == Refused(Reason.LINK_INVALID)


@pytest.mark.parametrize(
    ("scopes", "role", "decision"),
    [
        ((Scope.MANAGE,), Role.READER, Refused(Reason.SCOPE_MISSING)),
        ((Scope.MANAGE, Scope.READ), Role.READER, Allowed()),
        ((Scope.MANAGE, Scope.READ), Role.SPEAKER, Refused(Reason.SCOPE_MISSING)),
        ((Scope.READ, Scope.SPEAK), Role.READER, Refused(Reason.SCOPE_MISSING)),
    ],
)
def test_a_key_gives_only_what_it_may_do_itself(
    scopes: tuple[Scope, ...], role: Role, decision: Decision
) -> None:
    standing = Standing(record(), key=api_key("ada", *scopes))

    assert may_give(Person("ada", key="k1"), role, standing, NOW) == decision
