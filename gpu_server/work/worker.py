"""The queue worker: transcribes the jobs of the SQS queue and prefetches one job.

    receive (long poll) -> transcribe and store (`gpu_server.work.recordings`) -> delete
                           meanwhile: extend the visibility timeout again and again

**Prefetch.** The worker prefetches one job while all slots are busy, so that a slot that becomes
free continues at once; otherwise the GPU would wait for S3 and SQS. It looks for that job only
while every slot has one, and without long polling, so that it takes none from an idle server.

**Ends of a message.** It is deleted once its transcript is stored, or the reason why there can be
none. After a failure that a retry can repair it becomes visible again after a back-off. Malformed
messages are left for the redrive policy, which also moves messages with too many attempts to the
dead letters. A job that is done twice, because its message came twice or its worker was given up
too early, is stored once.

**Drain.** To stop, the worker finishes what a slot works on. It returns all other jobs to the
queue: their messages are visible to other workers at once. The messages of a worker that dies
become visible when their last visibility timeout ends.

**Outages.** While the model or the storage fails, the worker tries one job at a time (`_Outage`),
so that an outage does not use up the attempts of all waiting jobs. A job that fails alone is no
outage and delays no other; when its attempts are used up, the reason is stored in place of its
transcript. `gpu_server.work.blame` distinguishes the two cases.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from foundation.backoff import backoff
from foundation.invalid import summarise
from gpu_server.problems import (
    Cause,
    EngineStalled,
    Problem,
    RefusedPlace,
    Stopping,
    StorageFailed,
    Unprocessable,
)
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import RecordingJob, RecordingTranscriber, to_job
from transcripts.recordings.keys import TranscriptionJob

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Jobs that are prefetched while all slots are busy.
PREFETCH: Final = 1
#: The back-off before a job is tried again; it doubles with each attempt. Seconds.
FIRST_RETRY: Final = 60
LONGEST_RETRY: Final = 900
#: Attempts at a job where the queue has no redrive policy; `infra.recordings` provisions as many.
ATTEMPTS: Final = 6
#: The back-off after the queue could not be reached, seconds.
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 30.0
#: The longest pause during an outage, seconds.
LONGEST_OUTAGE_PAUSE: Final = 300.0
#: Interval between two checks whether a model is ready and every slot has a job, seconds.
CHECK_INTERVAL: Final = 0.5
#: Interval between two attempts to prefetch a job while there is none, seconds.
PREFETCH_INTERVAL: Final = 2.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


def concurrent_calls(slots: int) -> int:
    """Return the largest number of calls to SQS that a worker makes at a time."""
    return 2 * (slots + PREFETCH) + 1  # for each job a receive or a delete, and a heartbeat


class QueueWorker:
    """See the module.

    Args:
        sqs: a client, which is used by many threads.
        queue_url: of the jobs.
        recordings: transcribes and stores.
        inference: has to be ready before a job is received.
        slots: jobs in work at a time.
        visibility: the visibility timeout, seconds; it is extended while a job is in work.
        poll: duration of a long poll, seconds.
        metrics: counts the jobs.
    """

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        recordings: RecordingTranscriber,
        *,
        inference: Inference,
        slots: int,
        visibility: float,
        poll: int,
        metrics: Metrics,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._recordings = recordings
        self._inference = inference
        self._slots = slots
        self._visibility = visibility
        self._poll = poll
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._outage = _Outage()
        self._in_hand: dict[asyncio.Task[_End], _Claim] = {}
        #: Jobs in hand, and long polls for further ones.
        self._wanted = 0
        self._threads = ThreadPoolExecutor(concurrent_calls(slots), thread_name_prefix="sqs")

    async def run(self) -> None:
        """Work until `stop`, and then until no job is in hand."""
        loops = [
            asyncio.create_task(self._serve(probe=not n)) for n in range(self._slots + PREFETCH)
        ]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
            self.stop()  # after a defect in one loop the others finish their jobs
            await asyncio.wait(loops)
            for loop in loops:
                loop.result()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self._threads.shutdown(wait=False)

    def stop(self) -> None:
        """Receive no more jobs, and return those that no slot has begun to the queue."""
        self._stopping.set()
        for task, claim in self._in_hand.items():
            if claim.job is None or not self._recordings.has_begun(claim.job):
                task.cancel()

    async def release_jobs(self) -> None:
        """Return every job in hand to the queue."""
        self.stop()
        tasks = list(self._in_hand)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, *, probe: bool) -> None:
        """Do one job after another; during an outage only if this loop is the one that probes."""
        failures = 0
        while not self._stopping.is_set():
            ahead = self._wanted >= self._slots
            if (
                not self._inference.is_ready
                or (not probe and self._outage.is_ongoing)
                or (ahead and len(self._in_hand) < self._slots)
            ):
                await self._pause(CHECK_INTERVAL)
                continue
            began = time.monotonic()
            self._wanted += 1
            try:
                messages = await self._receive(0 if ahead else self._poll)
                failures = 0
                pause = PREFETCH_INTERVAL if ahead and not messages else 0.0
                for message in messages:
                    pause = self._outage.after(began, await self._take(message))
            except (BotoCoreError, ClientError) as error:
                failures += 1
                log.warning("queue_unreachable", error=type(error).__name__, failures=failures)
                pause = backoff(failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
            finally:
                self._wanted -= 1
            if pause:
                await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _receive(self, wait: int) -> list[MessageTypeDef]:
        answer = await self._call(
            self._sqs.receive_message,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=wait,
            VisibilityTimeout=round(self._visibility),
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return answer.get("Messages", [])

    async def _take(self, message: MessageTypeDef) -> _End:
        """Do the job of a message, or return the job to the queue if the worker is stopping."""
        claim = _Claim(message, self._change_visibility, self._visibility)
        if self._stopping.is_set():  # it came with the last long poll
            await claim.end(visible_in=0)
            return _RETURNED
        task = asyncio.create_task(self._do(message, claim))
        self._in_hand[task] = claim
        try:
            await asyncio.wait({task})
        finally:
            del self._in_hand[task]
        if task.cancelled():
            end = _RETURNED
        elif error := task.exception():
            log.error("worker_defect", exc_info=error)
            end = _End("defect")
        else:
            end = task.result()
        # Outside the task, so that `stop` cannot return a job that is done.
        self._metrics.jobs.labels(end.how).inc()
        await claim.end(visible_in=end.visible_in)
        if end.delete:
            await self._delete(message)
        return end

    async def _do(self, message: MessageTypeDef, claim: _Claim) -> _End:
        """Do the job of a message."""
        try:
            message_job = TranscriptionJob.model_validate_json(message.get("Body", ""))
            self._recordings.check_bucket(message_job.bucket)
            claim.job = job = to_job(message_job.bucket, message_job.key)
        except (ValidationError, RefusedPlace) as error:
            # The redrive policy moves it to the dead letters, for a person to inspect.
            log.error("poison_message", message_id=message.get("MessageId"), error=_describe(error))  # noqa: TRY400 - expected, no stack needed
            return _End("poison")
        about = {"event_id": message_job.event_id, "message_id": message.get("MessageId")}
        try:
            outcome = await self._recordings.transcribe(job, background=True)
        except Unprocessable as problem:
            log.warning("job_unprocessable", code=problem.code, **about)
            return _End("failed", delete=True)
        except Stopping:  # no slot had begun it
            return _RETURNED
        except Problem as problem:
            attempts = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
            failure = {
                "code": problem.code,
                "attempts": attempts,
                "whose": problem.cause.name.lower(),
            }
            if await self._give_up_after(job, problem, attempts):
                log.error("job_given_up", **failure, **about)  # noqa: TRY400 - no stack needed
                return _End("given_up", delete=True)
            log.warning("job_failed", **failure, **about)
            return _End(
                "retried",
                visible_in=round(
                    backoff(attempts, first=FIRST_RETRY, longest=LONGEST_RETRY, jitter=0)
                ),
                outage=problem.cause is Cause.OUTAGE,
            )
        log.info("job_done", already=outcome.already, **about)
        how = "already" if outcome.already else "done"
        return _End(how, delete=True, succeeded=not outcome.already)

    async def _give_up_after(self, job: RecordingJob, problem: Problem, attempts: int) -> bool:
        """Store the reason if this was the last attempt; return whether it was stored.

        Where the engine stalls, the second attempt is the last: each one blocks a slot for minutes.
        During an outage nothing is stored. The message ends among the dead letters, from where it
        can be sent again.
        """
        if not problem.is_failure or problem.cause in (Cause.OUTAGE, Cause.EITHER):
            return False
        stalled_again = isinstance(problem, EngineStalled) and problem.cause is Cause.RECORDING
        try:
            if not stalled_again and attempts < await self._last_attempt():
                return False
            return await self._recordings.give_up(job, problem, attempts=attempts)
        except StorageFailed:
            return False

    async def _last_attempt(self) -> int:
        """Return after how many attempts the redrive policy moves a message to the dead letters."""
        try:
            answer = await self._call(
                self._sqs.get_queue_attributes, AttributeNames=["RedrivePolicy"]
            )
            return int(json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"])
        except (KeyError, ValueError):  # there is no redrive policy
            return ATTEMPTS
        except (BotoCoreError, ClientError) as error:
            log.warning("redrive_policy_unknown", error=type(error).__name__)
            return ATTEMPTS

    async def _change_visibility(self, message: MessageTypeDef, seconds: int) -> None:
        """Make a message visible to others in so many seconds from now."""
        try:
            await self._call(
                self._sqs.change_message_visibility,
                ReceiptHandle=message["ReceiptHandle"],
                VisibilityTimeout=seconds,
            )
        except (BotoCoreError, ClientError) as error:
            # Then it becomes visible when its current timeout ends.
            log.warning("visibility_not_changed", error=type(error).__name__, seconds=seconds)

    async def _delete(self, message: MessageTypeDef) -> None:
        try:
            await self._call(self._sqs.delete_message, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError) as error:
            # It will be received again, and its transcript is found.
            log.warning("job_not_deleted", error=type(error).__name__)

    async def _call(self, function: Callable[..., T], **arguments: Any) -> T:
        """Call SQS in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(function, QueueUrl=self._queue_url, **arguments)
        )


@dataclass(frozen=True, slots=True)
class _End:
    """How the work on a message ended, and what happens to the message."""

    #: The label in the metrics.
    how: str
    delete: bool = False
    #: When it becomes visible again, seconds from now; None leaves its timeout as it is.
    visible_in: int | None = None
    #: Whether a transcript was made, which shows that there is no outage.
    succeeded: bool = False
    #: Whether the next job is likely to fail, too.
    outage: bool = False


_RETURNED: Final = _End("given_back", visible_in=0)


class _Claim:
    """The worker's claim on a message: extends its visibility timeout until `end`."""

    def __init__(
        self,
        message: MessageTypeDef,
        change_visibility: Callable[[MessageTypeDef, int], Coroutine[Any, Any, None]],
        visibility: float,
    ) -> None:
        self._message = message
        self._change_visibility = change_visibility
        self._visibility = visibility
        #: None until the message is parsed.
        self.job: RecordingJob | None = None
        self._extending: asyncio.Task[None] | None = None
        self._heartbeat = asyncio.create_task(self._extend())
        self._ended = False

    async def end(self, *, visible_in: int | None = None) -> None:
        """Stop the extension, and make the message visible in so many seconds, if given."""
        if self._ended:
            return
        self._ended = True
        self._heartbeat.cancel()
        if self._extending is not None:  # the two calls must not overtake each other
            await asyncio.wait({self._extending})
        if visible_in is not None:
            await self._change_visibility(self._message, visible_in)

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._visibility / 3)
            self._extending = asyncio.create_task(
                self._change_visibility(self._message, round(self._visibility))
            )
            await asyncio.shield(self._extending)


class _Outage:
    """Counts jobs that failed in a row for reasons that are not their own."""

    def __init__(self) -> None:
        self._failures = 0
        self._last = 0.0

    @property
    def is_ongoing(self) -> bool:
        """Whether the next job is likely to fail; False again when none was tried for a while."""
        return self._failures > 0 and time.monotonic() - self._last < LONGEST_OUTAGE_PAUSE

    def after(self, began: float, end: _End) -> float:
        """Return the pause after a job that began at that monotonic time, seconds."""
        if end.succeeded:
            self._failures = 0
        if not end.outage:
            return 0.0
        if began >= self._last:  # not for jobs that were in hand before
            self._failures += 1
        self._last = time.monotonic()
        return backoff(self._failures, first=FIRST_PAUSE, longest=LONGEST_OUTAGE_PAUSE)


def _describe(error: ValidationError | RefusedPlace) -> str:
    return str(error) if isinstance(error, RefusedPlace) else summarise(error)
