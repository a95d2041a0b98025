from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from local_cloud.emulator import program
from local_cloud.emulator.program import Refused, Snapshots, lock, observed

pytestmark = pytest.mark.unit


async def ignored(*_: object) -> Any:
    """Stand for an ASGI application, its `receive` or its `send`."""


async def request(snapshots: Snapshots, method: str, action: str | None = None) -> None:
    headers = [] if action is None else [(b"x-amz-target", action.encode())]
    application = observed(ignored, snapshots=snapshots, started=lambda: None)
    await application({"type": "http", "method": method, "headers": headers}, ignored, ignored)


def test_without_a_change_no_snapshot_is_due() -> None:
    assert not Snapshots().due()


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("POST", "DynamoDB_20120810.PutItem"),
        ("POST", "AmazonSQS.SendMessageBatch"),
        ("POST", "AmazonSQS.ReceiveMessage"),  # hides the message for a while
        ("PUT", None),
    ],
)
async def test_a_change_is_saved_and_what_follows_from_it_once_more(
    method: str, action: str | None
) -> None:
    snapshots = Snapshots()

    await request(snapshots, method, action)

    assert [snapshots.due() for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("POST", "DynamoDB_20120810.Query"),
        ("POST", "AmazonSQS.GetQueueAttributes"),
        ("GET", None),
    ],
)
async def test_reading_makes_no_snapshot_due(method: str, action: str | None) -> None:
    snapshots = Snapshots()

    await request(snapshots, method, action)

    assert not snapshots.due()


@pytest.mark.parametrize(("answer", "due"), [(b"{}", False), (b'{"Messages": []}', True)])
async def test_a_look_into_an_empty_queue_makes_no_snapshot_due(
    answer: bytes, *, due: bool
) -> None:
    async def queue(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": answer[:1], "more_body": True})
        await send({"type": "http.response.body", "body": answer[1:]})

    snapshots = Snapshots()
    application = observed(queue, snapshots=snapshots, started=lambda: None)
    headers = [(b"x-amz-target", b"AmazonSQS.ReceiveMessage")]
    await application({"type": "http", "method": "POST", "headers": headers}, ignored, ignored)

    assert snapshots.due() is due


def test_a_folder_is_used_by_one_emulator_at_a_time(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(Refused, match="another emulator"):
        lock(tmp_path)
    lock(tmp_path).close()


async def test_a_snapshot_is_taken_at_once_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = Snapshots()
    saved = asyncio.Event()

    def save() -> float:
        saved.set()
        return 0.0

    monkeypatch.setattr(snapshots, "save", save)
    monkeypatch.setattr(program, "SNAPSHOT_INTERVAL", 600.0)
    running = asyncio.create_task(snapshots.run())
    await asyncio.sleep(0)

    snapshots.hurry()

    await asyncio.wait_for(saved.wait(), 5)
    running.cancel()
