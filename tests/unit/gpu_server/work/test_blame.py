"""What caused a failure, by what happens to other recordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_server.problems import Cause
from gpu_server.work.blame import MEMORY, REMEMBERED, Blame

pytestmark = pytest.mark.unit

UNKNOWN, RECORDING = Cause.UNKNOWN, Cause.RECORDING
OUTAGE, EITHER = Cause.OUTAGE, Cause.EITHER


def judged(attempts: str) -> list[Cause]:
    """Report attempts, a letter for each recording: capitals succeed; return the judgements."""
    blame = Blame()
    verdicts = []
    for letter in attempts.replace(" ", ""):
        if letter.isupper():
            blame.record_success(letter.lower())
        else:
            verdicts.append(blame.record_failure(letter))
    return verdicts


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ("a", [UNKNOWN]),
        # One bad recording beside good ones, and alone.
        ("a G a G a", [UNKNOWN, RECORDING, RECORDING]),
        ("a a a", [UNKNOWN, RECORDING, RECORDING]),
        # Several bad ones: known ones are no outage, however they follow each other.
        ("a G b G a b a b", [UNKNOWN, UNKNOWN, RECORDING, RECORDING, RECORDING, RECORDING]),
        ("a b G a b", [UNKNOWN, EITHER, RECORDING, RECORDING]),
        ("a G b a", [UNKNOWN, UNKNOWN, RECORDING]),
        # Everything fails.
        ("a b c a b c", [UNKNOWN, EITHER] + [OUTAGE] * 4),
        ("a b a b", [UNKNOWN, EITHER, OUTAGE, OUTAGE]),
        # One that failed before while others succeeded proves nothing in an outage.
        ("a G a b c a a d", [UNKNOWN, RECORDING, UNKNOWN, EITHER, EITHER, EITHER, OUTAGE]),
        # Nor do several of them keep up what new ones began.
        ("a G b G c d e a b G a", [UNKNOWN] * 3 + [EITHER, OUTAGE, EITHER, EITHER, RECORDING]),
        # What fails in an outage and then succeeds was not to blame, and begins anew.
        ("a b c A B C G a", [UNKNOWN, EITHER, OUTAGE, UNKNOWN]),
    ],
)
def test_whose_failure_it_is(attempts: str, expected: list[Cause]) -> None:
    assert judged(attempts) == expected


def test_old_failures_do_not_count() -> None:
    now = 0.0
    blame = Blame(lambda: now)

    assert blame.record_failure("a") is UNKNOWN
    now += MEMORY
    assert blame.record_failure("b") is UNKNOWN
    assert blame.in_a_row == 1
    assert blame.record_failure("b") is RECORDING


def test_of_any_number_of_failures_a_bounded_number_is_remembered() -> None:
    blame = Blame()
    for number in range(3 * REMEMBERED):
        blame.record_failure(number)

    assert blame.in_a_row == REMEMBERED
    assert len(blame._suspects) == REMEMBERED


@given(st.lists(st.sampled_from("abcGH"), max_size=60))
def test_recordings_of_which_others_succeed_in_between_are_no_outage(attempts: list[str]) -> None:
    """Put a success after every failure: then no failure is everybody's."""
    verdicts = judged("".join(f"{each}G" if each.islower() else each for each in attempts))

    assert OUTAGE not in verdicts


@given(st.sets(st.sampled_from("abcde")), st.lists(st.sampled_from("abcde"), max_size=60))
def test_recordings_that_failed_while_others_succeeded_are_never_an_outage(
    known: set[str], attempts: list[str]
) -> None:
    blame = Blame()
    for each in known:
        blame.record_failure(each)
        blame.record_success("good")
    before = blame.in_a_row
    blame.record_failure("x")
    blame.record_failure("y")

    verdicts = [blame.record_failure(each) for each in attempts if each in known]

    assert before == 0
    assert set(verdicts) <= {EITHER}
    assert blame.in_a_row == 2


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=60))
def test_while_nothing_succeeds_and_several_fail_no_recording_is_to_blame(
    attempts: list[str],
) -> None:
    verdicts = judged("ab" + "".join(attempts))

    assert verdicts[:2] == [UNKNOWN, EITHER]
    assert verdicts[2:] == [OUTAGE] * len(attempts)
