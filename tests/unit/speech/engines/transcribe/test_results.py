from __future__ import annotations

import itertools
from typing import Any

import pytest
from amazon_transcribe.model import Alternative, Item
from amazon_transcribe.model import Result as ServiceResult
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.base import Result
from speech.engines.transcribe.results import Segments
from speech.engines.transcribe.timeline import Timeline

pytestmark = pytest.mark.unit


def item(content: str, start: float, end: float, **more: Any) -> Item:
    kind = "punctuation" if content in {",", ".", "?", "。"} else "pronunciation"
    return Item(start_time=start, end_time=end, item_type=kind, content=content, **more)


def answer(
    result_id: str | None,
    *items: Item,
    partial: bool = False,
    start: float | None = None,
    end: float | None = None,
    text: str | None = None,
    channel: str | None = None,
    language: str | None = None,
) -> ServiceResult:
    spoken = ""
    for one in items:
        glue = "" if one.item_type == "punctuation" or not spoken else " "
        spoken += glue + (one.content or "")
    return ServiceResult(
        result_id=result_id,
        start_time=start if start is not None else (items[0].start_time if items else 0.0),
        end_time=end if end is not None else (items[-1].end_time if items else 0.0),
        is_partial=partial,
        alternatives=[_alternative(text if text is not None else spoken, list(items))],
        channel_id=channel,
        language_code=language,
    )


def _alternative(text: str, items: list[Item]) -> Alternative:
    return Alternative(text, items, None)  # type: ignore[no-untyped-call] # the SDK's


def converted(*results: ServiceResult, channels: int = 1) -> list[Result]:
    segments = Segments(channels, Timeline())
    return [result for one in results for result in segments.convert(one)]


HELLO = item("Hello", 0.5, 0.9, confidence=0.9)
COMMA = item(",", 0.9, 0.9)
WORLD = item("world", 1.0, 1.4, confidence=0.8)


def test_punctuation_is_in_the_text_and_no_word() -> None:
    (result,) = converted(answer("a", HELLO, COMMA, WORLD))

    assert result.text == "Hello, world"
    assert [(w.word, w.start_time, w.end_time, w.confidence) for w in result.words] == [
        ("Hello", 0.5, 0.9, 0.9),
        ("world", 1.0, 1.4, 0.8),
    ]


def test_partials_replace_each_other_until_the_final_closes_the_segment() -> None:
    results = converted(
        answer("a", HELLO, partial=True),
        answer("a", HELLO, WORLD, partial=True),
        answer("a", HELLO, COMMA, WORLD),
        answer("b", item("again", 2.0, 2.3), partial=True),
    )

    assert [(r.segment, r.is_final, r.text) for r in results] == [
        (0, False, "Hello"),
        (0, False, "Hello world"),
        (0, True, "Hello, world"),
        (1, False, "again"),
    ]


def test_a_segment_whose_id_changes_stays_the_same() -> None:
    results = converted(
        answer("a", HELLO, partial=True),
        answer("b", HELLO, WORLD, partial=True),
        answer("c", HELLO, WORLD),
    )

    assert {r.segment for r in results} == {0}


def test_a_segment_yields_no_result_after_its_final() -> None:
    results = converted(
        answer("a", HELLO),
        answer("a", item("Yellow", 0.5, 0.9)),
        answer("a", HELLO, WORLD, partial=True),
        answer("other id", HELLO, WORLD),
    )

    assert [r.text for r in results] == ["Hello"]


def test_stable_words_are_counted_from_the_first() -> None:
    partial, final = converted(
        answer(
            "a",
            item("one", 0.0, 0.2, stable=True),
            item(",", 0.2, 0.2, stable=False),
            item("two", 0.2, 0.4, stable=True),
            item("free", 0.4, 0.6, stable=False),
            item("for", 0.6, 0.8, stable=True),
            partial=True,
        ),
        answer("a", item("one", 0.0, 0.2), item("two", 0.2, 0.4), item("three", 0.4, 0.6)),
    )

    assert partial.stable_words == 2
    assert final.stable_words is None  # a final has no unstable words


def test_a_final_of_several_speakers_becomes_a_segment_for_each_change() -> None:
    results = converted(
        answer(
            "a",
            item("How", 0.0, 0.2, speaker="0"),
            item("are", 0.2, 0.4, speaker="0"),
            item("you", 0.4, 0.6, speaker="0"),
            item("?", 0.6, 0.6),
            item("Fine", 1.0, 1.3, speaker="1"),
            item(".", 1.3, 1.3),
            item("Good", 1.5, 1.8, speaker="0"),
            end=2.0,
        ),
        answer("b", item("Yes", 3.0, 3.2, speaker="1"), partial=True),
    )

    assert [
        (r.segment, r.speaker_label, r.text, r.start, r.end, len(r.words)) for r in results
    ] == [
        (0, "spk_0", "How are you?", 0.0, 0.6, 3),
        (1, "spk_1", "Fine.", 1.0, 1.3, 1),
        (2, "spk_0", "Good", 1.5, 2.0, 1),
        (3, "spk_1", "Yes", 3.0, 3.2, 1),
    ]


def test_speakers_are_cut_from_the_text_also_where_no_spaces_are_written() -> None:
    results = converted(
        answer(
            "a",
            item("你好", 0.0, 0.2, speaker="0"),
            item("。", 0.2, 0.2),
            item("再见", 1.0, 1.2, speaker="1"),
            text="你好。再见",
        )
    )

    assert [r.text for r in results] == ["你好。", "再见"]


def test_what_is_not_found_in_the_text_is_not_cut() -> None:
    (result,) = converted(
        answer(
            "a",
            item("twenty", 0.0, 0.2, speaker="0"),
            item("one", 0.2, 0.4, speaker="1"),
            text="21",
        )
    )

    assert (result.text, result.speaker_label, len(result.words)) == ("21", None, 2)


def test_one_speaker_needs_no_cut() -> None:
    (result,) = converted(answer("a", item("two", 0.0, 0.2, speaker="0"), COMMA, text="2"))

    assert (result.text, result.speaker_label) == ("2", "spk_0")


def test_channels_count_their_segments_apart() -> None:
    results = converted(
        answer("a", HELLO, channel="ch_0"),
        answer("b", HELLO, channel="ch_1", partial=True),
        answer("c", item("more", 2.0, 2.2), channel="ch_0"),
        channels=2,
    )

    assert [(r.channel, r.segment) for r in results] == [(0, 0), (1, 0), (0, 1)]


def test_the_language_that_was_identified_comes_out() -> None:
    (result,) = converted(answer("a", HELLO, language="de-DE"))

    assert result.language == "de-DE"


def test_silence_yields_no_result() -> None:
    segments = Segments(1, Timeline())

    assert segments.convert(answer("a", partial=True, end=3.0)) == []
    assert not segments.any_open
    assert segments.convert(answer("a", end=3.0)) == []


def test_a_partial_that_comes_to_nothing_is_closed_by_an_empty_final() -> None:
    results = converted(answer("a", HELLO, partial=True), answer("a", end=1.0, start=0.5))

    assert [(r.is_final, r.text) for r in results] == [(False, "Hello"), (True, "")]


def test_an_empty_partial_withdraws_no_partial_whose_final_is_to_come() -> None:
    results = converted(
        answer("a", HELLO, partial=True),
        answer("a", partial=True, start=0.5, end=0.9),
        answer("a", HELLO, WORLD),
    )

    assert [(r.segment, r.text) for r in results] == [(0, "Hello"), (0, "Hello world")]


def test_times_are_ours() -> None:
    timeline = Timeline()
    timeline.insert(0.0, 10.0)

    (result,) = Segments(1, timeline).convert(
        answer("a", item("Hello", 10.5, 10.9), start=9.9, end=11.0)
    )

    assert [result.start, result.end] == pytest.approx([0.0, 1.0])
    assert result.words[0].start_time == pytest.approx(0.5)


@pytest.mark.parametrize(
    "result",
    [
        answer("a", HELLO, channel="ch_2"),
        answer("a", HELLO, channel="left"),
        answer("a", HELLO, channel="ch_²"),
        answer("a", HELLO, start=-1.0),
        answer("a", HELLO, end=float("nan")),
        answer("a", item("x", float("inf"), 1.0), start=0.0, end=1.0),
    ],
)
def test_what_makes_no_sense_is_refused(result: ServiceResult) -> None:
    with pytest.raises(ValueError, match=r"unknown channel|no time"):
        converted(result, channels=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[ServiceResult]:
    """What a service may send: per channel segments of partials and a final, shuffled together."""
    channels = []
    for channel in range(draw(st.integers(1, 2))):
        time = 0.0
        answers: list[ServiceResult] = []
        for number in range(draw(st.integers(0, 4))):
            time += draw(st.integers(1, 3))
            words = draw(st.integers(1, 4))
            items = [item(f"w{n}", time + n * 0.5, time + n * 0.5 + 0.4) for n in range(words)]
            ids = [f"{channel}-{number}"] + [f"{channel}-{number}-{n}" for n in range(2)]
            label = f"ch_{channel}"
            answers += [
                answer(draw(st.sampled_from(ids)), *items[:n], partial=True, channel=label)
                for n in draw(st.lists(st.integers(1, words), max_size=3).map(sorted))
            ]
            final = answer(draw(st.sampled_from(ids)), *items, channel=label)
            answers.append(final)
            echoes = draw(st.integers(0, 2))
            answers += [
                answer(ids[n], *items, partial=bool(n), channel=label) for n in range(echoes)
            ]
            time += words * 0.5
        channels.append(answers)
    merged: list[ServiceResult] = []
    queues = [iter(answers) for answers in channels]
    while queues:
        queue = draw(st.sampled_from(queues))
        following = next(queue, None)
        if following is None:
            queues.remove(queue)
        else:
            merged.append(following)
    return merged


@given(conversations())
def test_each_segment_has_one_final_after_its_partials(answers: list[ServiceResult]) -> None:
    results = converted(*answers, channels=2)

    for channel in (0, 1):
        mine = [r for r in results if r.channel == channel]
        assert [r.segment for r in mine] == sorted(r.segment for r in mine)
        for number, group in itertools.groupby(mine, key=lambda r: r.segment):
            finals = [r.is_final for r in group]
            assert finals == [False] * (len(finals) - 1) + [True], number
        spoken = [r.text for r in first_finals(answers, channel)]
        assert [r.text for r in mine if r.is_final] == spoken


def first_finals(answers: list[ServiceResult], channel: int) -> list[Result]:
    """Return the first final of each start, as a service without echoes would send it."""
    starts: set[float] = set()
    finals = []
    for one in answers:
        if (
            one.channel_id == f"ch_{channel}"
            and not one.is_partial
            and one.start_time not in starts
        ):
            starts.add(one.start_time or 0.0)
            finals += converted(one, channels=2)
    return finals
