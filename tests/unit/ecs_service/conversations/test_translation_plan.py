"""When what is translated, with a clock of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_service.conversations.translation_plan import (
    TranslationJob,
    TranslationPlan,
    TranslationPolicy,
)

pytestmark = pytest.mark.unit

POLICY = TranslationPolicy()


def partial(text: str, since: float, utterance: str = "u", seq: int = 1) -> TranslationJob:
    return TranslationJob(utterance, "en-US", text, seq, is_final=False, since=since)


def final(text: str, utterance: str = "u", *, is_past: bool = False) -> TranslationJob:
    return TranslationJob(utterance, "en-US", text, 1, is_final=True, since=0.0, is_past=is_past)


def jobs_taken(
    texts: list[str], every: float, call: float = 0.0, policy: TranslationPolicy = POLICY
) -> list[tuple[float, TranslationJob]]:
    """Submit each text, answer each call after `call`; return what was taken when."""
    plan = TranslationPlan(policy)
    taken: list[tuple[float, TranslationJob]] = []
    answered: dict[float, TranslationJob] = {}
    coming = {every * n: text for n, text in enumerate(texts)}
    while True:
        due = None if answered else plan.due()
        moments = [*coming, *answered, *([due] if due is not None else [])]
        if not moments:
            return taken
        now = min(moments)
        if now in coming:
            plan.add_partial(partial(coming.pop(now), now))
        elif now in answered:
            plan.complete(answered.pop(now))
        else:
            job = plan.take(now)
            assert job is not None
            taken.append((now, job))
            answered[now + call] = job


def test_the_first_partial_waits_a_moment_for_a_better_one() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("he", 10.0))
    plan.add_partial(partial("hello", 10.1))

    assert plan.due() == pytest.approx(10.2)
    assert plan.take(10.19) is None
    taken = plan.take(10.2)
    assert taken is not None
    assert taken.text == "hello"


def test_between_two_translations_of_an_utterance_there_are_400_ms() -> None:
    texts = ["one two three four five six seven"[:length] for length in range(14, 33, 2)]
    taken = jobs_taken(texts, every=0.1)

    assert [moment for moment, _ in taken] == pytest.approx([0.2, 0.6, 1.0])


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.floats(0.05, 0.6),
    st.floats(0.0, 1.0),
)
def test_a_partial_waits_no_longer_than_400_ms_for_its_translation(
    grows: list[int], every: float, call: float
) -> None:
    """It is due once the answer to the one before is there, and once it can be afforded."""
    generous = TranslationPolicy(partial_factor=1_000_000)
    texts = ["x" * sum(grows[: n + 1]) for n in range(len(grows))]
    taken = jobs_taken(texts, every, call, generous)

    assert taken[-1][1].text == texts[-1], "the newest is never left out"
    free = 0.0
    for moment, job in taken:
        assert moment <= max(free, job.since + generous.partial_every) + 1e-6
        free = moment + call
    assert all(b - a >= generous.partial_every - 1e-6 for (a, _), (b, _) in pairwise(taken))


@given(st.lists(st.text("ab ", max_size=60), max_size=60), st.floats(0.0, 1.0))
def test_partials_cost_at_most_three_times_the_longest(texts: list[str], call: float) -> None:
    """Whatever partials an engine reports, and also if it withdraws words."""
    spoken = [text for text in texts if text]
    taken = jobs_taken(spoken, every=0.45, call=call)

    spent = sum(len(job.text) for _, job in taken)
    assert spent <= 3 * max(map(len, spoken), default=0)


def test_a_long_utterance_is_translated_now_and_then_until_its_end() -> None:
    """12 characters every 0.4 s, for 20 s."""
    texts = ["x" * 12 * n for n in range(1, 51)]
    taken = jobs_taken(texts, every=0.4)

    lengths = [len(job.text) for _, job in taken]
    assert lengths[:5] == [12, 24, 36, 48, 60], "at first each"
    assert all(b <= 1.6 * a for a, b in pairwise(lengths[4:])), "then when it grew by half"
    assert lengths[-1] > 0.6 * len(texts[-1])


def test_while_one_is_translated_only_the_newest_waits() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("one", 0.0))
    first = plan.take(1.0)
    assert first is not None
    for n, text in enumerate(("one two", "one two three")):
        plan.add_partial(partial(text, 2.0 + n))

    assert plan.take(9.0) is None
    plan.complete(first)
    second = plan.take(9.0)
    assert second is not None
    assert second.text == "one two three"


def test_a_partial_with_the_same_text_is_not_translated_again() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("one", 0.0))
    first = plan.take(1.0)
    assert first is not None
    plan.complete(first)
    plan.add_partial(partial("one", 2.0, seq=2))

    assert plan.due() is None


def test_a_final_goes_at_once_and_its_partials_are_over() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("one", 0.0))
    running = plan.take(1.0)
    assert running is not None
    plan.add_partial(partial("one two", 1.5))
    plan.add_final(final("one two three"))

    taken = plan.take(1.5)
    assert taken is not None
    assert taken.is_final
    assert not plan.accept_answer(running), "its answer comes too late"
    assert plan.due() is None


def test_a_retracted_partial_is_not_published_even_if_there_is_another() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("one", 0.0, seq=1))
    running = plan.take(1.0)
    assert running is not None
    plan.add_partial(partial("one two", 1.2, seq=2))
    plan.retract(partial("", 1.5, seq=3))

    plan.complete(running)
    assert plan.take(9.0) is None, "the text that waited is out of date"
    plan.add_partial(partial("three", 9.0, seq=4))
    assert not plan.accept_answer(running)
    another = plan.take(10.0)
    assert another is not None
    assert another.text == "three"
    assert plan.accept_answer(another)


def test_the_same_partial_after_a_retraction_is_translated_anew() -> None:
    plan = TranslationPlan(POLICY)
    plan.add_partial(partial("one", 0.0, seq=1))
    first = plan.take(1.0)
    assert first is not None
    assert plan.accept_answer(first)
    plan.complete(first)

    assert plan.retract(partial("", 2.0, seq=2)), "viewers had a translation"
    assert not plan.retract(partial("one", 2.5, seq=3)), "it went with the partial"
    plan.add_partial(partial("one", 3.0, seq=4))
    assert plan.take(9.0) is not None


def test_new_texts_go_before_the_past_and_the_newest_past_first() -> None:
    plan = TranslationPlan(POLICY)
    for text in ("old", "newer"):
        plan.add_final(final(text, text, is_past=True))
    plan.add_partial(partial("partial", 0.0))
    plan.add_final(final("now", "v"))

    taken = [plan.take(1.0) for _ in range(5)]
    assert [job and job.text for job in taken] == ["now", "partial", "newer", "old", None]


def test_what_waits_is_bounded_and_the_oldest_gives_way() -> None:
    plan = TranslationPlan(TranslationPolicy(waiting_finals=2, open_utterances=2))
    gave_way = [plan.add_final(final(text, text)) for text in ("a", "b", "c")]
    for text in ("d", "e", "f"):
        plan.add_partial(partial(text, 0.0, text))

    assert [job and job.text for job in gave_way] == [None, None, "a"]
    taken = [plan.take(1.0) for _ in range(5)]
    assert [job and job.text for job in taken] == ["b", "c", "e", "f", None]


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [POLICY.pause(failures) for failures in (1, 2, 20)]

    assert 0.125 <= pauses[0] <= 0.25
    assert 0.25 <= pauses[1] <= 0.5
    assert 2.5 <= pauses[2] <= 5.0
