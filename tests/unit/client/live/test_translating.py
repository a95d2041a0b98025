from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest

from client.live.following import News
from client.live.translating import PATIENCE, CaptionLine, Held, is_readable, translated
from transcripts.models import Utterance
from transcripts.protocol import Final, Partial, Translation

pytestmark = pytest.mark.unit


def fields(name: str, text: str, language: str) -> dict[str, Any]:
    return {
        "conversation_id": "c",
        "utterance_id": name,
        "speaker": "Ada",
        "language": language,
        "start_time": 0,
        "end_time": 1,
        "text": text,
    }


def final(name: str, text: str = "hello", *, language: str = "en-US") -> Final:
    moment = {"timestamp": "2026-11-20T09:00:00Z", "seq": 1}
    return Final.model_validate({**fields(name, text, language), **moment})


def partial(name: str, text: str = "hel", *, language: str = "en-US") -> Partial:
    return Partial(**fields(name, text, language), seq=1)


def past(name: str) -> Utterance:
    moment = {"timestamp": "2026-11-20T09:00:00Z"}
    return Utterance.model_validate({**fields(name, "hello", "en-US"), **moment})


def translation(name: str, text: str, *, is_final: bool = True) -> Translation:
    return Translation(
        conversation_id="c",
        utterance_id=name,
        source_language="en-US",
        language="fr",
        text=text,
        is_final=is_final,
        seq=1,
    )


def read(lines: Iterable[CaptionLine]) -> list[str]:
    return [
        line.translation.text if line.translation else f"[{line.caption.text}]" for line in lines
    ]


def test_a_final_waits_for_its_translation_and_keeps_its_place() -> None:
    held = Held("fr")
    assert read(held.take(final("a"), 0)) == []
    assert read(held.take(past("b"), 1)) == []
    assert read(held.take(final("c", "salut", language="fr-CA"), 2)) == []
    assert read(held.take(translation("b", "deux"), 3)) == []
    assert read(held.take(translation("a", "un"), 4)) == ["un", "deux", "[salut]"]
    assert held.due is None


def test_a_translation_that_does_not_come_is_not_waited_for_for_ever() -> None:
    held = Held("fr")
    assert read(held.take(final("a", "one"), 0)) == []
    assert read(held.take(final("b", "two"), 1)) == []
    assert held.due == PATIENCE
    (line,) = held.late(PATIENCE)
    assert (line.caption.text, line.foreign) == ("one", True)
    assert read(held.take(translation("a", "un"), PATIENCE)) == []
    assert read(held.take(translation("b", "deux"), PATIENCE)) == ["deux"]


def test_what_still_waits_at_the_end_is_not_lost() -> None:
    held = Held("fr")
    assert read(held.take(final("a", "one"), 0)) == []
    assert read(held.take(final("b", "two"), 0)) == []
    assert read(held.take(translation("b", "deux"), 0)) == []
    assert read(held.rest()) == ["[one]", "deux"]


def test_partials_are_shown_as_they_are_translated_and_not_after_their_final() -> None:
    held = Held("fr")
    assert read(held.take(partial("a"), 0)) == []
    assert read(held.take(translation("a", "bon", is_final=False), 0)) == ["bon"]
    assert read(held.take(final("a"), 0)) == []
    assert read(held.take(translation("a", "bonj", is_final=False), 0)) == []
    assert read(held.take(partial("b", "bon", language="fr-FR"), 0)) == ["[bon]"]


def test_partials_whose_finals_never_come_are_forgotten() -> None:
    held = Held("fr")
    for number in range(1_000):
        assert read(held.take(partial(f"u-{number}"), 0)) == []
    assert len(held._open) == 100


@pytest.mark.parametrize(
    ("language", "wanted", "readable"),
    [
        ("en-GB", "en", True),
        ("pt-BR", "pt-PT", False),
        ("zh-TW", "zh", False),
        ("zh-TW", "zh-TW", True),
        ("en-US", "fr", False),
    ],
)
def test_only_what_is_of_another_language_waits(
    language: str, wanted: str, readable: object
) -> None:
    assert is_readable(language, wanted) is readable


async def test_lines_come_when_they_are_due_though_nobody_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.live.translating.PATIENCE", 0.01)
    silence = asyncio.Event()

    async def conversation() -> AsyncGenerator[News, None]:
        yield final("a", "one")
        await silence.wait()

    lines = translated(conversation(), Held("fr"))
    async with asyncio.timeout(5):
        line = await anext(lines)
    assert isinstance(line, CaptionLine)
    assert line.caption.text == "one"
    silence.set()
    assert [line async for line in lines] == []
