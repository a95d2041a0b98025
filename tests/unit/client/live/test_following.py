from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest

from client.errors import ConnectionLost
from client.live import following
from client.live.connection import SILENCE_SECONDS, Viewer
from client.live.following import Captions, Gap, follow
from tests.support.virtual_time import run_in_virtual_time
from transcripts.models import Utterance
from transcripts.protocol import (
    DEAD_SECONDS,
    ConnectParameters,
    Final,
    Heartbeat,
    Partial,
    Snapshot,
    Translation,
)

pytestmark = pytest.mark.unit

SPOKEN: dict[str, Any] = {
    "conversation_id": "c",
    "speaker": "Ada",
    "language": "en-US",
    "start_time": 0,
    "end_time": 1,
    "text": "hello",
}
MOMENT = {"timestamp": "2026-11-20T09:00:00Z"}


def final(name: str) -> Final:
    return Final.model_validate({**SPOKEN, **MOMENT, "utterance_id": name, "seq": 1})


def partial(name: str) -> Partial:
    return Partial(**SPOKEN, utterance_id=name, seq=1)


def snapshot(*names: str) -> Snapshot:
    utterances = [{**SPOKEN, **MOMENT, "utterance_id": name} for name in names]
    return Snapshot.model_validate({"conversation_id": "c", "utterances": utterances, "seq": 1})


def ids(captions: Captions, message: object) -> list[str]:
    return [getattr(news, "utterance_id", "") for news in captions.unseen(message)]


def test_after_a_reconnect_the_snapshot_brings_only_what_was_missed() -> None:
    captions = Captions()
    assert ids(captions, snapshot("a")) == ["a"]
    assert ids(captions, final("b")) == ["b"]
    assert ids(captions, snapshot("a", "b", "c")) == ["c"]
    assert ids(captions, final("c")) == []


def test_partials_come_until_their_final_and_not_after() -> None:
    captions = Captions()
    assert ids(captions, partial("a")) == ["a"]
    assert ids(captions, partial("a")) == ["a"]
    assert ids(captions, final("a")) == ["a"]
    assert ids(captions, partial("a")) == []


def translation(name: str, *, is_final: bool = True) -> Translation:
    fields = {"conversation_id": "c", "source_language": "en-US", "language": "fr", "text": "x"}
    return Translation.model_validate(
        {**fields, "utterance_id": name, "is_final": is_final, "seq": 1}
    )


def test_after_a_reconnect_no_translation_of_a_final_comes_again() -> None:
    captions = Captions()
    assert ids(captions, final("a")) == ["a"]
    assert ids(captions, translation("a")) == ["a"]
    assert ids(captions, snapshot("a")) == []
    assert ids(captions, translation("a")) == []


def test_translations_of_partials_do_not_come_after_the_final() -> None:
    captions = Captions()
    assert ids(captions, translation("a", is_final=False)) == ["a"]
    assert ids(captions, final("a")) == ["a"]
    assert ids(captions, translation("a", is_final=False)) == []


def test_other_messages_show_nothing() -> None:
    assert ids(Captions(), Heartbeat(conversation_id="c", seq=0)) == []


def test_what_is_remembered_is_bounded() -> None:
    captions = Captions()
    for number in range(10_050):
        assert list(captions.unseen(final(f"u-{number}")))
    assert len(captions._finished) == 10_000
    assert ids(captions, final("u-10049")) == []


def test_a_stored_utterance_can_be_shown_as_it_is() -> None:
    (caption,) = Captions().unseen(snapshot("a"))
    assert isinstance(caption, Utterance)


def test_a_gap_is_shown_where_it_is() -> None:
    message = snapshot("a").model_copy(update={"gap": True})
    gap, caption = Captions().unseen(message)
    assert isinstance(gap, Gap)
    assert isinstance(caption, Utterance)


class Connections:
    """The connections of a viewer: what each receives before it breaks."""

    def __init__(self, *messages: list[Any]) -> None:
        self._messages = list(messages)
        self.parameters: list[ConnectParameters] = []

    def __call__(self, _base: str, parameters: ConnectParameters, _ticket: object) -> Self:
        self.parameters.append(parameters)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Any]:
        for message in self._messages.pop(0):
            yield message
        raise ConnectionLost("cut")


def at(message: Any, position: str) -> Any:
    return message.model_copy(update={"position": position})


def test_each_connection_goes_on_from_the_last_position(monkeypatch: pytest.MonkeyPatch) -> None:
    more = snapshot("c", "d").model_copy(update={"more": True})
    connections = Connections(
        [at(snapshot("a"), "p1"), at(final("b"), "p2"), partial("x")],
        [],
        [more, at(snapshot("d", "e"), "p3"), at(Heartbeat(conversation_id="c", seq=9), "p4")],
        [at(snapshot(), "p5"), final("last")],
    )
    monkeypatch.setattr(following, "Viewer", connections)
    greeted: list[str | None] = []

    async def read() -> list[str]:
        found = []
        wanted = ConnectParameters(conversation_id="c")
        async for news in follow(
            "http://x", wanted, on_connected=lambda first: greeted.append(first.position)
        ):
            found.append(getattr(news, "utterance_id", ""))
            if found[-1] == "last":
                break
        return found

    assert run_in_virtual_time(read()) == ["a", "b", "x", "c", "d", "e", "last"]
    assert [each.since for each in connections.parameters] == [None, "p2", "p2", "p4"]
    assert all(each.heartbeat for each in connections.parameters)
    assert greeted == ["p1", None, "p5"], "the pieces that follow are no new connection"


@pytest.mark.parametrize(("every", "patience"), [(1.0, DEAD_SECONDS), (10.0, SILENCE_SECONDS)])
def test_silence_is_death_once_heartbeats_come_every_second(every: float, patience: float) -> None:
    async def watch() -> float:
        viewer = Viewer("http://x", ConnectParameters(conversation_id="c"))
        for _ in range(3):
            viewer._note(Heartbeat(conversation_id="c", seq=0))
            viewer._note(final("a"))
            await asyncio.sleep(every)
        return viewer._patience

    assert run_in_virtual_time(watch()) == patience
