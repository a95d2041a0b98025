from __future__ import annotations

from typing import Any

import pytest

from client.live.following import Captions
from transcripts.models import Utterance
from transcripts.protocol import Final, Heartbeat, Partial, Snapshot, Translation

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
