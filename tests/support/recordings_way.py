"""DocumentStore on their whole way: bucket, events, functions, server, queue, all of them real.

Only the transcriber is a stand-in: a recording `say WORDS` has these words, and is as many seconds
long as they have letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3

from local_cloud.launcher.parts.part import keep_running
from local_cloud.launcher.parts.recordings import RecordingsPart
from tests.support.cloud import Cloud, cloud_of_one_machine
from tests.support.demo import free_port
from tests.support.events import created, flat
from tests.support.faulty_proxy import FaultyProxy
from transcripts.recordings.keys import Session
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

TOKEN = "a secret of enough letters"  # noqa: S105 - a test's
MODULE = "tests.support.scripted_server"
OK = 200
#: What a run of the router may take, seconds; it keeps 30 of them, and waits 10 for an answer. In
#: the stacks it is five minutes, for which a test would have to wait with it.
ROUTER_SECONDS = 40


def words(session: Session, number: int) -> str:
    """Return the words of a chunk, which differ from those of any other chunk."""
    return f"{session.session_id} number {number}" + " and on" * (number % 7)


@dataclass(frozen=True, slots=True)
class Talk:
    """A session of `count` chunks, numbered from 1."""

    session: Session
    count: int

    @property
    def numbers(self) -> range:
        return range(1, self.count + 1)

    def key(self, number: int) -> str:
        return f"{self.session.chunks_prefix}{number:04}.wav"

    def transcript_key(self, number: int) -> str:
        return f"{self.session.outcomes_prefix}{number:04}.json"


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way. `server` is not started."""

    cloud: Cloud
    server: RecordingsPart
    proxy: FaultyProxy

    @property
    def bucket(self) -> str:
        return self.cloud.resources.recordings_bucket

    @property
    def recordings(self) -> DocumentStore:
        return DocumentStore(Objects(self.bucket, self.cloud.client("s3")))

    # --- what users do ----------------------------------------------------------------------

    def upload(self, chunks: Iterable[tuple[Talk, int]]) -> None:
        """Upload chunks, several at a time."""
        s3 = self.cloud.client("s3")

        def put(chunk: tuple[Talk, int]) -> None:
            talk, number = chunk
            body = f"say {words(talk.session, number)}".encode()
            s3.put_object(Bucket=self.bucket, Key=talk.key(number), Body=body)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(put, chunks))

    def put(self, key: str, order: str) -> None:
        """Upload what the transcriber is to do, see `scripted_transcriber`."""
        self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=order.encode())

    def describe(self, talk: Talk) -> None:
        """Announce by `metadata.json` of how many chunks a session consists."""
        self.cloud.client("s3").put_object(
            Bucket=self.bucket,
            Key=talk.session.metadata_key,
            Body=json.dumps({"chunkCount": talk.count}).encode(),
        )

    def end(self, talk: Talk) -> None:
        """Announce by an event that a session has ended, and of how many chunks it consists."""
        about = {"userId": talk.session.user_id, "sessionId": talk.session.session_id}
        self.send_event("Session Ended", {"bucket": self.bucket, **about, "chunkCount": talk.count})

    def send_event(self, kind: str, detail: object) -> None:
        """Put an application's event on the bus."""
        entry = {"Source": "cloudscribe", "DetailType": kind, "Detail": json.dumps(detail)}
        self.cloud.client("events").put_events(Entries=[entry])

    # --- what goes wrong --------------------------------------------------------------------

    def repeat_chunk_event(self, talk: Talk, number: int) -> None:
        """Send the router a chunk's event again, as S3 or as an application."""
        key = talk.key(number)
        if number % 2:
            self._invoke("router", created(key, self.bucket))
        else:
            self.send_event("Audio Uploaded", flat(key, self.bucket)["detail"])

    def repeat_transcript_event(self, talk: Talk, number: int) -> None:
        """Send the combiner the event of a chunk's transcript again."""
        self._invoke("session_combiner", created(talk.transcript_key(number), self.bucket))

    def kill(self, module: str) -> bool:
        """Kill the process of a module, or return False where there is none."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                if module in command and "local_cloud.end_with_parent" not in command:
                    process.kill()
                    return True
        return False

    def ready(self) -> bool:
        """Return whether the server takes recordings."""
        try:
            return urllib3.request("GET", f"{self.server.url}/health", retries=False).status == OK
        except urllib3.exceptions.HTTPError:
            return False

    # --- what came of it --------------------------------------------------------------------

    def jobs(self) -> int:
        """Return how many jobs are in the queue, waiting or in work."""
        return sum(self._counts(self.cloud.resources.jobs_queue_url))

    def lost(self) -> tuple[int, int]:
        """Return how many jobs and events were put aside."""
        there = self.cloud.resources
        return (
            sum(self._counts(there.jobs_dead_letter_queue_url)),
            sum(self._counts(there.undelivered_queue_url)),
        )

    def events(self) -> int:
        """Return how many events the functions still have to deal with."""
        database = self.cloud.emulator.data / "events.db"
        with contextlib.closing(sqlite3.connect(database)) as kept:
            count: int = kept.execute("SELECT count(*) FROM events").fetchone()[0]
            return count

    def versions(self) -> Counter[str]:
        """Return how often each object was written."""
        pages = self.cloud.client("s3").get_paginator("list_object_versions")
        return Counter(
            each["Key"]
            for page in pages.paginate(Bucket=self.bucket)
            for each in page.get("Versions", ())
        )

    def _counts(self, url: str) -> tuple[int, int]:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        attributes = self.cloud.client("sqs").get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[names[0], names[1]],  # type: ignore[list-item]  # two of its names
        )["Attributes"]
        return int(attributes[names[0]]), int(attributes[names[1]])  # type: ignore[index]  # the same

    def _invoke(self, function: str, event: object) -> None:
        self.cloud.client("lambda").invoke(
            FunctionName=f"{self.cloud.function(function)}:live",
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )


@contextlib.asynccontextmanager
async def recordings_way(folder: Path) -> AsyncIterator[Way]:
    """Start everything but the server."""
    server = RecordingsPart(
        log=folder / "server.log",
        work=folder / "work",
        port=free_port(),
        token=TOKEN,
        module=MODULE,
        visibility_seconds=3,
    )
    proxy = FaultyProxy(server.url)
    functions = server.functions | {"GPU_URL": proxy.url}
    async with (
        cloud_of_one_machine(folder / "aws", functions=functions) as cloud,
        proxy.running(),
    ):
        server.configure(cloud.environment, cloud.resources)
        _count_versions(cloud)
        _hurry(cloud, "router")
        try:
            yield Way(cloud, server, proxy)
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def kept_running(server: RecordingsPart) -> AsyncIterator[None]:
    """Start the server, and again whenever it dies, as the launcher does."""
    await server.start()
    keeping = asyncio.create_task(keep_running(server, print))
    try:
        yield
        if keeping.done():
            keeping.result()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def shuffled(talks: Iterable[Talk], *, seed: int = 1) -> list[tuple[Talk, int]]:
    """Return the chunks of all talks in disorder."""
    chunks = [(talk, number) for talk in talks for number in talk.numbers]
    random.Random(seed).shuffle(chunks)  # noqa: S311 - no secret
    return chunks


def _count_versions(cloud: Cloud) -> None:
    cloud.client("s3").put_bucket_versioning(
        Bucket=cloud.resources.recordings_bucket, VersioningConfiguration={"Status": "Enabled"}
    )


def _hurry(cloud: Cloud, name: str) -> None:
    """Give a function less time, in a version of its own."""
    functions = cloud.client("lambda")
    function = cloud.function(name)
    functions.update_function_configuration(FunctionName=function, Timeout=ROUTER_SECONDS)
    version = functions.publish_version(FunctionName=function)["Version"]
    functions.update_alias(FunctionName=function, Name="live", FunctionVersion=version)
