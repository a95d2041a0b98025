"""`make redrive` in the emulator: what failed is repaired, sent back, and done."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import created
from tests.support.eventually import eventually
from tests.support.recordings_way import Way, kept_running, recordings_way
from transcripts.documents import RecordingTranscript

pytestmark = pytest.mark.integration

ATTEMPTS = 6


async def redrive(way: Way, *arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.commands.redrive", "local", *arguments, "--json"),
        env=way.cloud.environment,
        stdout=PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed
    found: dict[str, Any] = json.loads(printed)
    return found


async def one_job(way: Way) -> None:
    async def queued() -> bool:
        return await asyncio.to_thread(way.jobs) == 1 and await asyncio.to_thread(way.events) == 0

    await eventually(queued, "the recording is queued", within=60)


def give_up(way: Way) -> None:
    """Receive the job as workers would who die of it."""
    sqs = way.cloud.client("sqs")
    url = way.cloud.resources.jobs_queue_url
    for _ in range(ATTEMPTS + 1):
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)


async def test_a_dead_letter_is_done_once_the_server_is_repaired(
    tmp_path: Path,
) -> None:
    async with recordings_way(tmp_path) as way:
        way.put("uploads/talk.wav", "say hello there")
        await one_job(way)
        await asyncio.to_thread(give_up, way)
        assert await asyncio.to_thread(way.lost) == (1, 0)
        listed = await redrive(way)
        assert [(each["queue"], each["found"]) for each in listed["queues"]] == [
            ("utterances", 0),
            ("jobs", 1),
            ("undelivered", 0),
        ]

        async with kept_running(way.server):
            done = await redrive(way, "jobs")

            async def transcribed() -> bool:
                key = "transcripts/uploads/talk.wav.json"
                return (
                    await asyncio.to_thread(way.recordings.get, key, RecordingTranscript)
                    is not None
                )

            await eventually(transcribed, "the job is done", within=60)
        assert done["queues"][0]["moved"] == 1
        assert await asyncio.to_thread(way.lost) == (0, 0)


async def test_an_event_that_a_function_failed_on_is_given_to_it_again(tmp_path: Path) -> None:
    async with recordings_way(tmp_path) as way:
        way.put("uploads/talk.wav", "say hello there")
        await one_job(way)
        sqs = way.cloud.client("sqs")
        sqs.purge_queue(QueueUrl=way.cloud.resources.jobs_queue_url)
        function = way.cloud.function("router")
        # As Lambda records it.
        given_up = {
            "version": "1.0",
            "requestContext": {
                "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}:1",
                "condition": "RetriesExhausted",
            },
            "requestPayload": created("uploads/talk.wav", way.bucket),
        }
        sqs.send_message(
            QueueUrl=way.cloud.resources.undelivered_queue_url, MessageBody=json.dumps(given_up)
        )

        done = await redrive(way, "undelivered")

        await one_job(way)
        assert done["queues"][0]["moved"] == 1
        assert await asyncio.to_thread(way.lost) == (0, 0)
