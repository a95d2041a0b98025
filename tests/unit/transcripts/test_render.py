from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from transcripts import protocol, render
from transcripts.models import Model, Utterance

pytestmark = pytest.mark.unit

EXPECTED = {
    "Ready",
    "Partial",
    "Final",
    "Ack",
    "Error",
    "Closed",
    "Snapshot",
    "Heartbeat",
    "Translation",
    "TranslationStatus",
    "Start",
    "Stop",
    "TranscribeParameters",
    "ConnectParameters",
    "ErrorCode",
    "ClientMessage",
    "ServerMessage",
}


@pytest.fixture(scope="module")
def defs() -> dict[str, Any]:
    definitions = render.schema()["$defs"]
    assert isinstance(definitions, dict)
    return definitions


def test_the_page_is_rendered_from_the_models() -> None:
    stale = "docs/protocol.md is stale: run `make protocol`"
    assert render.PAGE.read_text() == render.markdown(), stale


def test_the_prose_of_the_page_has_the_figures_of_the_models() -> None:
    prose = " ".join(render.markdown().split())
    for sentence in (
        f"closes with {protocol.CLOSE_NORMAL}.",
        f"the finals of the last {protocol.SNAPSHOT_SECONDS:g} seconds",
        f"At least every {protocol.HEARTBEAT_SECONDS:g} seconds a message comes",
        f"repeats the `snapshot` every {protocol.HEARTBEAT_SECONDS:g} seconds",
        f"must be complete within {protocol.REQUEST_SECONDS:g} seconds",
        f"{protocol.CLOSE_NORMAL} is the normal end.",
        f"{protocol.CLOSE_GOING_AWAY} means that the server shuts down",
        f"{protocol.CLOSE_PROTOCOL_ERROR} for malformed frames",
        f"{protocol.CLOSE_INVALID_TEXT} for a text that is not UTF-8",
        f"{protocol.CLOSE_MESSAGE_TOO_BIG} for a frame beyond twice the limit",
    ):
        assert sentence in prose


def test_a_page_without_its_blocks_is_not_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "protocol.md"
    page.write_text(render.PAGE.read_text().replace("<!-- generated: errors -->", ""))
    monkeypatch.setattr(render, "PAGE", page)

    with pytest.raises(ValueError, match="generated: errors"):
        render.markdown()


def test_every_message_parameter_and_union_is_defined(defs: dict[str, Any]) -> None:
    assert defs.keys() >= EXPECTED


def test_every_server_message_is_in_the_page_and_in_the_union(defs: dict[str, Any]) -> None:
    tags = {message["type"] for message in (json.loads(protocol.encode(m)) for m in _one_of_each())}
    assert set(defs["ServerMessage"]["discriminator"]["mapping"]) == tags
    assert all(f"### `{tag}`\n" in render.markdown() for tag in tags)


def test_required_fields_are_those_that_a_server_always_sends(defs: dict[str, Any]) -> None:
    for message in _one_of_each():
        sent = json.loads(protocol.encode(message))
        assert set(defs[type(message).__name__]["required"]) <= sent.keys()
        assert sent.keys() <= defs[type(message).__name__]["properties"].keys()


def test_a_server_never_sends_null(defs: dict[str, Any]) -> None:
    assert '"null"' not in json.dumps([defs[type(message).__name__] for message in _one_of_each()])


def test_names_are_camel_case_and_tags_are_required(defs: dict[str, Any]) -> None:
    for name, definition in defs.items():
        for field in definition.get("properties", {}):
            assert "_" not in field
        if "type" in definition.get("properties", {}):
            assert "type" in definition["required"], name


def test_every_error_code_has_its_row() -> None:
    page = render.markdown()
    for code, kind in protocol.ERRORS.items():
        assert f"| `{code}` | {kind.close_code} |" in page


def test_the_example_session_is_made_of_valid_messages() -> None:
    examples = re.findall(r"^([<>]) (\{.*\})$", render.markdown(), re.MULTILINE)
    assert examples
    for direction, text in examples:
        adapter = protocol.server_message if direction == "<" else protocol.control_message
        adapter.validate_json(text)


def test_the_python_example_is_python() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", render.markdown(), re.DOTALL)
    ast.parse(example)


def test_the_command_prints_what_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    render.main(["schema"])
    assert json.loads(capsys.readouterr().out) == render.schema()
    render.main(["markdown"])
    assert capsys.readouterr().out == render.markdown()


def _one_of_each() -> list[Model]:
    utterance: dict[str, Any] = {
        "conversation_id": "c",
        "utterance_id": "u-0",
        "speaker": "Ada",
        "language": "en-US",
        "start_time": 0,
        "end_time": 1,
        "text": "hello",
    }
    moment = {"timestamp": "2026-11-20T09:00:00Z"}
    return [
        protocol.Ready(
            conversation_id="c",
            stream_id="s",
            engine="scripted",
            language="en-US",
            sample_rate=16_000,
            channels=1,
        ),
        protocol.Partial(**utterance, seq=1),
        protocol.Final.model_validate({**utterance, **moment, "seq": 2}),
        protocol.Ack(received=1, processed=1, lag=0),
        protocol.error(protocol.ErrorCode.INTERNAL, "why"),
        protocol.Closed(reason="stopped", duration=1, finals=1),
        protocol.Snapshot(
            conversation_id="c",
            utterances=(Utterance.model_validate({**utterance, **moment}),),
            seq=2,
        ),
        protocol.Heartbeat(conversation_id="c", seq=2),
        protocol.Translation(
            conversation_id="c",
            utterance_id="u-0",
            source_language="en-US",
            language="fr",
            text="bonjour",
            is_final=True,
            seq=2,
        ),
        protocol.TranslationStatus(conversation_id="c", language="fr", state="failing"),
    ]
