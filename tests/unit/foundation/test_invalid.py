"""The words for a `ValidationError`."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from foundation.invalid import LONGEST, explain, explain_each, summarise
from foundation.settings import explain_settings

pytestmark = pytest.mark.unit

SECRET = "a secret"  # noqa: S105 - a value that must not be quoted


class Start(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["start"]
    port: int = 0
    words: tuple[int, ...] = ()

    @field_validator("port")
    @classmethod
    def _check_port(cls, value: int) -> int:
        if value < 0:
            raise ValueError("give 0 or more")
        return value


class Stop(BaseModel):
    type: Literal["stop"]


MESSAGE: TypeAdapter[Start | Stop] = TypeAdapter(
    Annotated[Start | Stop, Field(discriminator="type")]
)


def error_of(value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        MESSAGE.validate_python(value)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        {"type": SECRET},
        {"type": "start", "port": SECRET},
        {"type": "start", "words": [1, SECRET]},
        {"type": "start", "other": SECRET},
        {SECRET: SECRET},
    ],
)
def test_values_are_never_quoted(value: object) -> None:
    error = error_of(value)

    assert SECRET not in explain(error, whole="message")
    assert SECRET not in summarise(error)


def test_an_unknown_kind_is_answered_with_those_that_are_known() -> None:
    assert (
        explain(error_of({"type": "go"}), whole="message")
        == "message: 'type' should be one of 'start', 'stop'"
    )


def test_each_problem_has_its_path_and_our_own_words() -> None:
    error = error_of({"type": "start", "port": -1, "words": [1, None]})

    assert explain(error) == (
        "start.port: give 0 or more; start.words.1: Input should be a valid integer"
    )
    assert summarise(error) == "start.port: value_error; start.words.1: int_type"
    assert explain(error.errors()) == explain(error)


def test_what_concerns_no_field_has_the_name_that_was_given() -> None:
    error = error_of({})

    assert explain(error).startswith("Unable to extract tag")
    assert explain(error, whole="message").startswith("message: Unable")
    assert summarise(error, whole="body") == "body: union_tag_not_found"


def test_names_that_the_sender_invented_are_shortened() -> None:
    name = "x" * 10_000

    error = error_of({"type": "start", name: 1})

    assert name[:50] in explain(error)
    assert len(explain(error)) < LONGEST + 60
    assert len(summarise(error)) < LONGEST + 60


def test_a_line_names_five_problems_and_a_list_names_all() -> None:
    error = error_of({"type": "start", "words": [None] * 9})

    assert explain(error).count("words") == summarise(error).count("words") == 5
    assert len(explain_each(error)) == 9


def test_settings_are_named_as_in_the_environment() -> None:
    error = error_of({"type": "start", "port": -1})

    assert explain_settings(error) == "START.PORT: give 0 or more"
    assert explain(error, rename=lambda path: path.removeprefix("start.")) == "port: give 0 or more"
