"""Each value by itself, as Amazon Transcribe's streaming API takes or refuses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech import transcribe_values
from speech.transcribe_api import Operation, Parameter

pytestmark = pytest.mark.unit

STREAM = transcribe_values.START_STREAM_TRANSCRIPTION.parameters


def every() -> Iterator[Parameter]:
    for value in vars(transcribe_values).values():
        if isinstance(value, Operation):
            yield from value.parameters.values()


@pytest.mark.parametrize("parameter", list(every()), ids=lambda one: one.member)
def test_every_value_of_an_enumeration_is_taken_and_nothing_near_it(parameter: Parameter) -> None:
    for value in parameter.values:
        assert not parameter.violated(value)
        assert parameter.violated(f"{value}X")
        assert parameter.violated("") or not parameter.values


@given(st.integers())
def test_numbers_are_bounded_on_both_sides(number: int) -> None:
    for name, least, most in (
        ("session-resume-window", 1, 300),
        ("sample-rate", 8_000, 48_000),
        ("number-of-channels", 2, 2),
    ):
        assert (not STREAM[name].violated(str(number))) == (least <= number <= most)


@pytest.mark.parametrize("number", ["", "1e2", "٣", " 5", "5.0", "0x10", "1" * 5_000])
def test_what_is_no_number_is_refused(number: str) -> None:
    assert "between 1 and 300" in STREAM["session-resume-window"].violated(number)


@given(st.lists(st.sampled_from(STREAM["pii-entity-types"].values), min_size=1, max_size=8))
def test_several_values_stand_between_commas(kinds: list[str]) -> None:
    parameter = STREAM["pii-entity-types"]

    assert not parameter.violated(", ".join(kinds))
    assert parameter.violated(",".join([*kinds, "SHOE_SIZE"]))
    assert parameter.violated(",".join([*kinds, ""]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language-options", ",".join(["en-US"] * 34)),
        ("vocabulary-name", "x" * 201),
        ("vocabulary-name", "two words"),
        ("vocabulary-name", "names\n"),
        ("session-id", "mine"),
        ("show-speaker-label", "yes"),
    ],
)
def test_texts_are_bounded(name: str, value: str) -> None:
    assert STREAM[name].violated(value)
