from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.secret import Kind, make_id, make_secret, parse_secret

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("kind", ["csl", "csk"])
def test_a_secret_reads_back_and_matches_its_hash(kind: Kind) -> None:
    made = make_secret(kind)

    read = parse_secret(kind, str(made))

    assert read == made
    assert read is not None
    assert read.matches(made.hash)
    assert not make_secret(kind).matches(made.hash)


def test_a_secret_of_the_other_kind_is_none() -> None:
    assert parse_secret("csk", str(make_secret("csl"))) is None


@given(text=st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert parse_secret("csl", text) is None


def test_a_printed_secret_object_hides_the_secret() -> None:
    made = make_secret("csk")

    assert made.secret not in repr(made)


def test_ids_differ_and_are_ids_of_conversations() -> None:
    made = {make_id() for _ in range(1_000)}

    assert len(made) == 1_000
    assert {len(one) for one in made} == {26}
