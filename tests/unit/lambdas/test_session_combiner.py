from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lambdas.session_combiner.decide import RefusedEvent, chunk_of

pytestmark = pytest.mark.unit

HANDLER = "lambdas.session_combiner.handler"
BUCKET = "recordings-of-ours"
CONTEXT = SimpleNamespace(
    function_name="session_combiner",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:combiner:live",
    aws_request_id="request",
)


def written(
    key: str = "users/ann/transcripts/monday-chunk-007.json", bucket: str = BUCKET
) -> dict[str, Any]:
    return {"id": "an-event", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module after a cold start."""
    monkeypatch.setenv("RECORDINGS_BUCKET", BUCKET)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    return importlib.import_module(HANDLER)


def test_the_chunk_is_read_from_the_key() -> None:
    chunk = chunk_of(written(), BUCKET)

    assert (chunk.session.user_id, chunk.session.session_id) == ("ann", "monday")
    assert chunk.number == 7


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail": {"bucket": BUCKET}},
        written(bucket="somebody-elses"),
        written("users/ann/transcripts/monday.json"),
        written("uploads/a.mp3"),
    ],
)
def test_other_events_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(RefusedEvent):
        chunk_of(event, BUCKET)


def test_the_handler_counts_chunks(handler: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    handler.handler(written(), CONTEXT)

    lines = capsys.readouterr().out.splitlines()
    metrics = next(json.loads(line) for line in lines if "_aws" in line)
    assert metrics["ChunksTranscribed"] == [1.0]


def test_an_event_that_is_refused_fails_the_invocation_so_that_it_is_kept(
    handler: ModuleType,
) -> None:
    with pytest.raises(RefusedEvent):
        handler.handler(written("uploads/a.mp3"), CONTEXT)
