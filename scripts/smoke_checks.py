"""What the smoke check tries besides the page: live captions, a recording, the GPU server.

Everything is bounded in time. An error of AWS or of the network is a finding with what to do, and
never the end of the other checks.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from client.errors import ClientError as LiveError
from client.errors import Refused
from client.live.audio import read_file
from client.live.connection import Received, Speaker, TicketSource, Viewer, no_ticket
from client.live.speaking import AudioStream
from speech.pcm import PcmFormat
from transcripts import protocol
from transcripts.protocol import ConnectParameters, ErrorCode, TranscribeParameters
from transcripts.recordings.keys import CHECK, CHECK_KEY, FAILURE, beside

#: Two words, spoken by flite, between silence: Ogg Opus, 2.7 s.
SPEECH: Final = Path(__file__).with_name("smoke.ogg")
AUDIO: Final = PcmFormat(sample_rate=16_000, channels=1)

#: Patience with the live way, seconds; a stream that is refused may try again within it.
LIVE_SECONDS: Final = 60.0
#: How soon after a refusal that names no time, seconds.
AGAIN_SECONDS: Final = 5.0
#: How long a viewer waits for a final after the speaker has it, seconds.
DELIVERY_SECONDS: Final = 10.0
#: Patience with an uploaded recording, seconds. SQS may take a minute to count a message.
RECORDING_SECONDS: Final = 150.0
#: How long a server may take to transcribe at once before a look into the queue, seconds.
AT_ONCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 2.0
#: How long a look into the queue waits for a job, seconds.
LOOK_SECONDS: Final = 1

#: Refusals of a service that is well, but has no place at the moment.
_BUSY: Final = frozenset(
    {ErrorCode.AT_CAPACITY, ErrorCode.TOO_MANY_VIEWERS, ErrorCode.RATE_LIMITED}
)
_TRANSCRIPT: Final = CHECK.transcript_key
_FAILURE: Final = beside(CHECK.transcript_key, FAILURE)
_RIGHTS: Final = (
    "The rights are the Deploy role's (infra/delivery/roles.py): deploy the stack `delivery`, or "
    "use credentials that may more."
)


class Verdict(StrEnum):
    """How a check ended. Only `FAILED` fails a deployment."""

    OK = "ok"
    NOTE = "note"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    text: str

    def fields(self) -> dict[str, str]:
        """Return it for programs."""
        return {"check": self.check, "verdict": str(self.verdict), "text": self.text}


# --- live -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation in which one may speak, and the tickets for its sockets."""

    conversation_id: str
    reading: TicketSource
    speaking: TicketSource


async def live(base: str, place: Place | None = None) -> Finding:
    """Speak as a client does, and wait for the words as a viewer.

    Without a `place`, in a conversation of its own that nobody owns.
    """
    deadline = time.monotonic() + LIVE_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + LIVE_SECONDS):
                return await _speak(base, place)
        except Refused as refused:
            wait = refused.retry_after or AGAIN_SECONDS
            if refused.code in {*_BUSY, ErrorCode.DRAINING} and time.monotonic() + wait < deadline:
                await asyncio.sleep(wait)
                continue
            return _refused(refused)
        except LiveError as error:
            return Finding("live", Verdict.FAILED, f"{error}: see the service's log")
        except TimeoutError:
            return Finding("live", Verdict.FAILED, f"nothing came of it in {LIVE_SECONDS:g} s")


def _refused(refused: Refused) -> Finding:
    if refused.code in _BUSY:
        return Finding("live", Verdict.NOTE, f"not tried, for the service is busy: {refused}")
    if refused.code == ErrorCode.UNSUPPORTED_LANGUAGE:
        return Finding("live", Verdict.NOTE, f"not tried, for the words are English: {refused}")
    return Finding("live", Verdict.FAILED, f"refused: {refused}; see the service's log")


async def _speak(base: str, place: Place | None) -> Finding:
    place = place or Place(f"smoke-{secrets.token_hex(8)}", no_ticket, no_ticket)
    conversation = place.conversation_id
    parameters = TranscribeParameters(
        sample_rate=AUDIO.sample_rate, conversation_id=conversation, speaker="Smoke check"
    )
    finals: set[str] = set()

    def note(received: Received) -> None:
        if isinstance(received.message, protocol.Final):
            finals.add(received.message.utterance_id)

    watched = ConnectParameters(conversation_id=conversation)
    async with Viewer(base, watched, ticket=place.reading) as viewer:
        messages = aiter(viewer)
        await anext(messages)  # the snapshot: from here on it is a viewer
        async with Speaker(base, parameters, ticket=place.speaking) as speaker:
            engine = speaker.ready.engine
            stream = AudioStream(speaker, read_file(SPEECH, AUDIO), audio=AUDIO, paced=True)
            closed = await stream.run(note)
        if not stream.progress.finished or not closed.duration:
            text = f"{engine} ended the stream after {closed.duration:g} s: {closed.reason}"
            return Finding("live", Verdict.FAILED, text)
        if not finals:
            text = (
                f"{engine} took {closed.duration:g} s of speech and ended in order, without words"
            )
            return Finding("live", Verdict.NOTE, text)
        missing = set(finals)
        with suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_SECONDS):
                while missing:
                    message = await anext(messages)
                    if isinstance(message, protocol.Final):
                        missing.discard(message.utterance_id)
    if missing:
        text = f"{engine} recognised words, and {len(missing)} finals did not reach a viewer"
        return Finding("live", Verdict.FAILED, text)
    return Finding("live", Verdict.OK, f"{engine}: {len(finals)} final(s) reached a viewer")


# --- a recording ----------------------------------------------------------------------------


def recording(outputs: Mapping[str, str]) -> Finding:
    """Upload a chunk of a session and wait until it is transcribed or queued; remove all of it."""
    bucket, queue = outputs.get("RecordingsBucketName"), outputs.get("JobsQueueUrl")
    if not (bucket and queue):
        return Finding("recording", Verdict.SKIPPED, "no bucket of recordings among the outputs")
    return _with_aws(
        "recording",
        lambda: _Upload(
            bucket=bucket, queue=queue, takes_back="GpuService" not in outputs
        ).finding(),
    )


class _Upload:
    """One recording on its way through the bucket and the queue of jobs."""

    def __init__(self, *, bucket: str, queue: str, takes_back: bool) -> None:
        """Prepare it; with `takes_back` nobody works off the queue, and the job is removed."""
        self._bucket = bucket
        self._queue = queue
        self._s3, self._sqs = connect("s3"), connect("sqs")
        self._takes_back = takes_back

    def finding(self) -> Finding:
        self._remove()
        waiting = self._waiting()
        began = time.monotonic()
        self._s3.put_object(Bucket=self._bucket, Key=CHECK_KEY, Body=SPEECH.read_bytes())
        try:
            while (passed := time.monotonic() - began) < RECORDING_SECONDS:
                if found := self._outcome(passed):
                    return found
                if passed >= AT_ONCE_SECONDS and (found := self._in_queue(waiting)):
                    return found
                time.sleep(POLL_SECONDS)
        finally:
            self._remove()
        if jobs := self._waiting():
            text = f"not transcribed, but {jobs} jobs wait, of which one may be this one's"
            return Finding("recording", Verdict.NOTE, text)
        return Finding(
            "recording",
            Verdict.FAILED,
            f"neither transcribed nor queued after {RECORDING_SECONDS:g} s: see the log of the "
            "function `router`, and `make redrive` for events that nobody could deal with",
        )

    def _outcome(self, passed: float) -> Finding | None:
        prefix = _TRANSCRIPT.removesuffix(".json")
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix).get("Contents", [])
        keys = {each["Key"] for each in listed}
        if _TRANSCRIPT in keys:
            return Finding("recording", Verdict.OK, f"transcribed after {passed:.0f} s")
        if _FAILURE in keys:
            body = self._s3.get_object(Bucket=self._bucket, Key=_FAILURE)["Body"].read(65_536)
            why = json.loads(body)
            return Finding("recording", Verdict.FAILED, f"{why.get('code')}: {why.get('message')}")
        return None

    def _in_queue(self, before: int) -> Finding | None:
        """Return that the job is queued, if that is certain.

        Where nobody works off the queue, the job is taken back: it would raise the alarm of jobs
        that wait for days. Not where others wait, for a look counts as one of their attempts.
        """
        if before or not self._takes_back:
            if self._waiting() > before:
                return Finding("recording", Verdict.OK, "queued: a server is to transcribe it")
            return None
        received = self._sqs.receive_message(
            QueueUrl=self._queue, VisibilityTimeout=1, WaitTimeSeconds=LOOK_SECONDS
        )
        for message in received.get("Messages", []):
            with suppress(ValueError, TypeError, AttributeError):
                if json.loads(message["Body"]).get("key") == CHECK_KEY:
                    self._sqs.delete_message(
                        QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                    )
                    return Finding("recording", Verdict.OK, "queued, and the job taken back")
        return None

    def _waiting(self) -> int:
        """Return how many jobs wait or are being worked on; SQS counts with some delay."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def _remove(self) -> None:
        for key in (CHECK_KEY, _TRANSCRIPT, _FAILURE):
            self._s3.delete_object(Bucket=self._bucket, Key=key)


# --- the GPU --------------------------------------------------------------------------------


def gpu(outputs: Mapping[str, str]) -> Finding:
    """Return what ECS knows of the GPU server, which nobody outside its network can reach."""
    cluster, service = outputs.get("GpuCluster"), outputs.get("GpuService")
    if not (cluster and service):
        return Finding("gpu", Verdict.SKIPPED, "this environment has none")
    return _with_aws("gpu", lambda: _described(connect("ecs"), cluster, service))


def _described(ecs: Any, cluster: str, service: str) -> Finding:
    found = ecs.describe_services(cluster=cluster, services=[service])["services"]
    if not found or found[0]["status"] != "ACTIVE":
        return Finding("gpu", Verdict.FAILED, "ECS knows no such service: deploy the stack `gpu`")
    running, wanted = found[0]["runningCount"], found[0]["desiredCount"]
    newest = [*found[0].get("deployments", []), {}][0]
    last = [*found[0].get("events", []), {}][0].get("message", "")
    if newest.get("rolloutState") == "FAILED":
        return Finding("gpu", Verdict.FAILED, f"its deployment failed: {last}")
    if running < wanted:
        return Finding("gpu", Verdict.NOTE, f"{running} of {wanted} machines run: {last}")
    if not wanted:
        return Finding("gpu", Verdict.OK, "no machine runs, and none is needed")
    return Finding("gpu", Verdict.OK, f"{running} of {wanted} machines run")


# --- AWS ------------------------------------------------------------------------------------


def connect(service: str) -> Any:
    """Return a client of AWS, bounded in time."""
    import boto3  # noqa: PLC0415 - a second that a look at the help need not wait
    from botocore.config import Config  # noqa: PLC0415 - the same

    # As other tools of AWS, but not botocore, do.
    region = os.environ.get("AWS_REGION") or None
    session: Any = boto3.Session(region_name=region)  # whose stubs know literal names only
    return session.client(
        service,
        config=Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )


def _with_aws(check: str, work: Callable[[], Finding]) -> Finding:
    try:
        return work()
    except ClientError as error:
        return Finding(
            check, Verdict.FAILED, f"AWS refuses {error.operation_name}: {error}. {_RIGHTS}"
        )
    except BotoCoreError as error:
        return Finding(check, Verdict.FAILED, f"AWS cannot be used: {error}")
