"""EventBridge's cron expressions, as its user guide describes them, and its SDK's bound."""

from __future__ import annotations

import contextlib
from datetime import date, timedelta

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.aws.cron import LONGEST, InvalidCron, parse

pytestmark = pytest.mark.unit

#: All that the user guide gives as examples of rules.
OF_THE_GUIDE = [
    "cron(0 10 * * ? *)",
    "cron(15 12 * * ? *)",
    "cron(0 18 ? * MON-FRI *)",
    "cron(0 8 1 * ? *)",
    "cron(0/15 * * * ? *)",
    "cron(0/10 * ? * MON-FRI *)",
    "cron(0/5 8-17 ? * MON-FRI *)",
    "cron(0/30 20-2 ? * MON-FRI *)",  # also past midnight
]
JANUARY = [date(2026, 1, day) for day in range(1, 32)]


@pytest.mark.parametrize("expression", OF_THE_GUIDE)
def test_the_guides_examples_are_valid(expression: str) -> None:
    assert parse(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("18:00", "is not of the form"),
        ("rate(5 minutes)", "is not of the form"),
        ("cron(0 0 * * ?)", "is not of the form"),
        ("cron(0  0 * * ? *)", "is not of the form"),  # one blank between fields
        ("cron(0 0 * * ?\t*)", "is not of the form"),
        ("cron(0 0 * * ? *)\n", "is not of the form"),
        ("cron(0 0 * * * *)", "either the day of month or"),
        ("cron(0 0 1 * MON *)", "either the day of month or"),
        ("cron(0 0 ? * ? *)", "either the day of month or"),
        ("cron(60 0 * * ? *)", "minutes: 60 is not from 0-59"),
        ("cron(0 24 * * ? *)", "hours: 24"),
        ("cron(0 0 0 * ? *)", "day of month: 0"),
        ("cron(0 0 32W * ? *)", "day of month: 32"),
        ("cron(0 0 1,? * ? *)", "\\? stands alone"),
        ("cron(0 0 * 13 ? *)", "month: 13 is not from 1-12 or JAN-DEC"),
        ("cron(0 0 ? * 0 *)", "day of week: 0 is not from 1-7 or SUN-SAT"),
        ("cron(0 0 ? * MON/2 *)", "no steps"),
        ("cron(0 0 ? * 3#6 *)", "day of week"),
        ("cron(0 0 ? * 3#1,6#3 *)", "one value only"),
        ("cron(0 0 * * ? 2200)", "year: 2200"),
        ("cron(0/0 0 * * ? *)", "a step is a number from 1"),
        ("cron(0 0 * * ? 2030-2026)", "ends before it begins"),
        ("cron(,1 0 * * ? *)", "is not a value"),
        ("cron(L 0 * * ? *)", "is not a value"),
        ("cron(\u0661 0 * * ? *)", "is not a value"),
        ("cron(0 0 31 2 ? *)", "never fires"),
        ("cron(0 0 29 2 ? 2027)", "never fires"),
        (f"cron({','.join(['0'] * 200)} 0 * * ? *)", "256 characters"),
    ],
)
def test_what_eventbridge_would_refuse_is_named(expression: str, words: str) -> None:
    with pytest.raises(InvalidCron, match=words):
        parse(expression)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("* * ?", list(range(1, 32))),
        ("L * ?", [31]),
        ("LW * ?", [30]),  # the 31st is a Saturday
        ("3W * ?", [2]),  # a Saturday, so the Friday before
        ("4W * ?", [5]),  # a Sunday, so the Monday after
        ("1/10 * ?", [1, 11, 21, 31]),
        ("1,5-6 JAN ?", [1, 5, 6]),
        ("1 FEB ?", []),
        ("? * SUN", [4, 11, 18, 25]),
        ("? * 1", [4, 11, 18, 25]),
        ("? * L", [3, 10, 17, 24, 31]),
        ("? * FRIL", [30]),
        ("? * 6L", [30]),
        ("? * 3#2", [13]),
        ("? * SAT-SUN", [3, 4, 10, 11, 17, 18, 24, 25, 31]),
        ("1 OCT-JAN ?", [1]),
        ("? * MON,WED", [5, 7, 12, 14, 19, 21, 26, 28]),
    ],
)
def test_days_are_those_of_the_wildcards(days: str, expected: list[int]) -> None:
    cron = parse(f"cron(0 0 {days} *)")

    assert [day.day for day in JANUARY if cron.fires_on(day)] == expected


@pytest.mark.parametrize(
    ("expression", "pause"),
    [
        ("cron(0 0 * * ? *)", timedelta(days=1)),
        ("cron(* * * * ? *)", timedelta(minutes=1)),
        ("cron(0 0,6 * * ? *)", timedelta(hours=18)),
        ("cron(0 20-2/2 * * ? *)", timedelta(hours=18)),  # 20, 22, 0 and 2
        ("cron(0 22 ? * MON-FRI *)", timedelta(days=3)),
        ("cron(0 0 ? * SUN *)", timedelta(days=7)),
        ("cron(0 0 1 * ? *)", timedelta(days=31)),
        ("cron(0 0 29 2 ? *)", timedelta(days=1461)),
    ],
)
def test_longest_pause_is_that_between_two_firings(expression: str, pause: timedelta) -> None:
    assert parse(expression).longest_pause() == pause


def test_what_ends_some_day_has_no_longest_pause() -> None:
    with pytest.raises(InvalidCron, match="never stops firing"):
        parse("cron(0 0 * * ? 2026-2030)").longest_pause()


def test_the_bound_of_an_expression_is_that_of_the_sdk() -> None:
    model = botocore.session.get_session().get_service_model("events")
    shape = model.shape_for("ScheduleExpression")

    assert shape.metadata["max"] == LONGEST


@given(st.text(alphabet="0123456789,-*/?LW#MONFRI ", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidCron):
        assert parse(f"cron({text})").years
