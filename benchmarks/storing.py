"""Measures what keeping and storing a final costs the service: journal, queue and ledger.

A stand-in in a process of its own answers DynamoDB's and SQS's calls at once, so the figures are
the service's alone: its CPU time for a final, and how long a final waits for the ledger before it
is shown. `benchmarks.live` measures with none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config

from benchmarks.figures import milliseconds, table_of
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from ecs_service.sessions.commits import Commits
from ecs_service.sessions.ledger import Ledger
from speech.engines.base import Checkpoint
from transcripts.conversations import ConversationTable
from transcripts.models import Utterance, Word
from transcripts.streams.entry import LedgerEntry, StreamProgress, StreamTerms
from transcripts.streams.store import StreamTable

#: Of an utterance.
WORDS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many streams there are, how many utterances each ends, and how often, in seconds."""

    streams: int = 50
    finals: int = 6
    every: float = 2.0


QUICK: Final = Plan(streams=5, finals=4, every=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is kept, the CPU time for a final in milliseconds, and the wait before it is shown."""

    kept_in: str
    cpu: float
    wait: dict[str, float]


def run(plan: Plan, progress: Callable[[str], None]) -> list[Result]:
    """Measure with the outbox alone, and with the ledger before it."""
    return asyncio.run(_run(plan, progress))


def report(results: list[Result]) -> str:
    """Return the table."""
    return table_of(
        results,
        {
            "a final is kept in": lambda each: each.kept_in,
            "CPU of the service, ms": lambda each: each.cpu,
            "shown after p50, ms": lambda each: each.wait["p50"],
            "p95, ms": lambda each: each.wait["p95"],
        },
    )


async def _run(plan: Plan, progress: Callable[[str], None]) -> list[Result]:
    results = []
    async with _stand_in() as endpoint:
        for has_ledger in (False, True):
            kept_in = "ledger, journal, queue" if has_ledger else "journal, queue"
            progress(f"{plan.streams} streams of {plan.finals} finals: {kept_in} ...")
            results.append(await _measure(plan, endpoint, kept_in, has_ledger=has_ledger))
    return results


async def _measure(plan: Plan, endpoint: str, kept_in: str, *, has_ledger: bool) -> Result:
    outbox = Outbox(Journal(), _client("sqs", endpoint), f"{endpoint}/0/q", confirm_seconds=3600)
    dynamodb = _client("dynamodb", endpoint)
    ledger = Ledger(StreamTable("streams", dynamodb), ConversationTable("t", dynamodb))
    sending = asyncio.create_task(outbox.run())
    waits: list[float] = []
    began = time.process_time()
    try:
        await asyncio.gather(
            *[
                _speak(number, plan, outbox, ledger if has_ledger else None, waits)
                for number in range(plan.streams)
            ]
        )
        await outbox.flush()
        cpu = time.process_time() - began
    finally:
        sending.cancel()
        ledger.close()
        await asyncio.gather(sending, return_exceptions=True)
    finals = plan.streams * plan.finals
    return Result(kept_in=kept_in, cpu=cpu / finals * 1000, wait=milliseconds(waits))


async def _speak(
    stream: int, plan: Plan, outbox: Outbox, ledger: Ledger | None, waits: list[float]
) -> None:
    """End one utterance after the other; each stream at a time of its own."""
    stream_id = f"{stream:026}"
    await asyncio.sleep(plan.every * stream / plan.streams)
    commits = Commits(ledger, _entry(stream_id), outbox) if ledger is not None else None
    writing = None
    if commits is not None:
        commits.follow(lambda: Checkpoint(16_000, (16_000,), 0))
        writing = asyncio.create_task(commits.run())
    for number in range(plan.finals):
        await asyncio.sleep(plan.every)
        began = time.perf_counter()
        utterance = _utterance(stream_id, number)
        if commits is None:
            outbox.add(utterance)
            waits.append(time.perf_counter() - began)
        else:
            commits.keep(utterance, partial(_note, waits, began))
    if commits is not None and writing is not None:
        await commits.flush()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


def _note(waits: list[float], began: float) -> None:
    waits.append(time.perf_counter() - began)


def _entry(stream_id: str) -> LedgerEntry:
    terms = StreamTerms(
        stream_id=stream_id,
        conversation_id="talk",
        speaker="Ada",
        language="en-US",
        sample_rate=16_000,
        channels=1,
        separate=False,
        options={},
        token_hash="0a" * 32,
    )
    return LedgerEntry(terms=terms, progress=replace(StreamProgress(), clock=datetime.now(UTC)))


def _utterance(stream_id: str, number: int) -> Utterance:
    words = tuple(
        Word(word=f"word{place}", start_time=place / 3, end_time=place / 3 + 0.3, confidence=0.9)
        for place in range(WORDS)
    )
    return Utterance(
        conversation_id="talk",
        utterance_id=f"{stream_id}-{number}",
        timestamp=datetime.now(UTC),
        speaker="Ada",
        language="en-US",
        start_time=0.0,
        end_time=4.0,
        text=" ".join(word.word for word in words),
        words=words,
        number=number + 1,
    )


def _client(service: Any, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",  # noqa: S106 - of the stand-in
        config=Config(max_pool_connections=16, retries={"total_max_attempts": 1}),
    )


# --- the stand-in for AWS -------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _stand_in() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.storing", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept whatever is put or sent."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = head.lower()
            length = int(fields.split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            entries = [
                {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": _md5(entry)}
                for entry in body.get("Entries", [])
            ]
            answer = json.dumps({"Successful": entries, "Failed": []} if entries else {}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer))


def _md5(entry: dict[str, str]) -> str:
    return hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=2**20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
