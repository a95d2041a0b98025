"""Runs Amazon's own Python SDK, unmodified, in a process of its own.

It needs one, for it reads SSL_CERT_FILE as it starts, and keeps a core busy until it ends.

    python transcribe_sdk.py PLAN.json > OUTCOME.json

A plan is a list of cases, an outcome one answer for each. Every case has a client of its own,
and its streams run side by side on the client's one connection.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from amazon_transcribe.auth import StaticCredentialResolver
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.endpoints import StaticEndpointResolver
from amazon_transcribe.exceptions import ServiceException
from amazon_transcribe.model import Result

#: Patience with one stream, seconds.
PATIENCE = 20.0
CHUNK_SECONDS = 0.1
RATE = 16_000


async def stream(client: TranscribeStreamingClient, case: dict[str, Any]) -> dict[str, Any]:
    """Stream silence; return what came back, and how it ended."""
    results: list[dict[str, Any]] = []
    outcome: dict[str, Any] = {"results": results, "error": None, "message": None, "session": None}
    opened = None
    try:
        async with asyncio.timeout(PATIENCE):
            opened = await client.start_stream_transcription(
                media_sample_rate_hz=RATE, media_encoding="pcm", **case["options"]
            )
            outcome["session"] = opened.response.session_id
            sending = asyncio.create_task(send(opened.input_stream, case["seconds"]))
            async for event in opened.output_stream:
                results.extend(facts(result) for result in event.transcript.results)
            await sending
    except ServiceException as error:
        outcome |= {"error": type(error).__name__, "message": str(error)}
    except TimeoutError:
        outcome["error"] = "TimeoutError"
    if opened is not None and outcome["error"]:
        await close(opened.input_stream)
    return outcome


def facts(result: Result) -> dict[str, Any]:
    """Return what a test may want to know of a result."""
    (best,) = result.alternatives or []
    return {
        "id": result.result_id,
        "partial": result.is_partial,
        "text": best.transcript,
        "items": [item.content for item in best.items],
    }


async def send(events: Any, seconds: float) -> None:
    """Send so much silence, ten times as fast as it would sound, and end it."""
    chunk = bytes(2 * int(RATE * CHUNK_SECONDS))
    for _ in range(round(seconds / CHUNK_SECONDS)):
        await events.send_audio_event(audio_chunk=chunk)
        await asyncio.sleep(CHUNK_SECONDS / 10)
    await close(events)


async def close(events: Any) -> None:
    """End a stream; until that is done the SDK keeps a core busy."""
    await events.end_stream()


async def run(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a case; return the outcome of each of its streams."""
    client = TranscribeStreamingClient(
        region="us-east-1",
        endpoint_resolver=StaticEndpointResolver(case["endpoint"]),  # type: ignore[no-untyped-call]  # the same
        credential_resolver=StaticCredentialResolver(*case["credentials"]),
    )
    streams = (stream(client, case) for _ in range(case.get("streams", 1)))
    return list(await asyncio.gather(*streams))


async def run_all(plan: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Run the cases one after another."""
    return [await run(case) for case in plan]


if __name__ == "__main__":
    json.dump(asyncio.run(run_all(json.loads(Path(sys.argv[1]).read_text()))), sys.stdout)
