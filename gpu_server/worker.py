"""The worker: does the jobs of the SQS queue, one at a time for each slot, and has one more ready.

    receive (long poll) -> transcribe and store (`gpu_server.recordings`) -> delete
                           while that lasts: more visibility, now and then

The one more is taken and fetched while the slots work, so that a slot which becomes free goes on at
once: what S3 and SQS take would otherwise be time in which a GPU waits.

A message is deleted only when its transcript is stored, or why there can be none. What another
attempt can mend becomes visible again after a pause that grows with the attempts; what is no job
is left alone; and the queue's redrive policy puts aside what has come too often. A job that is
done twice, because a message came twice or a worker was given up too early, is stored once.

To stop, the worker finishes what a slot works on. What is not begun, or cannot be finished in time,
it gives back: the message is visible to others at once. A worker that dies gives back nothing, and
its message is visible again when the time is over for which it last asked.

While the model or the storage fails, one job is tried now and then, so that an outage does not use
up the attempts of all that wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from gpu_server.inference import Inference
from gpu_server.problems import Conflict, Problem, RefusedPlace, Stopping, Unprocessable
from gpu_server.recordings import Recordings, order
from gpu_server.telemetry import Metrics
from transcripts.recordings import TranscriptionJob

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Jobs that are made ready while the slots work.
AHEAD: Final = 1
#: The pause before a job is tried again doubles with each attempt; seconds.
FIRST_RETRY: Final = 60
LONGEST_RETRY: Final = 900
#: The pause after the queue could not be reached, seconds.
LONGEST_PAUSE: Final = 30.0
#: The longest pause while every job fails for reasons that are not its own, seconds.
LONGEST_OUTAGE_PAUSE: Final = 300.0
#: How often to look whether a model is ready again, seconds.
LOOK: Final = 0.5

T = TypeVar("T")

log = structlog.get_logger(__name__)


def calls_at_a_time(slots: int) -> int:
    """Return how many calls of SQS a worker makes at the same time, at most."""
    return 2 * (slots + AHEAD) + 1  # for each job a look or its end, and a heartbeat


class QueueWorker:
    """See the module.

    Args:
        sqs: a client, which is used by many threads.
        queue_url: of the jobs.
        recordings: who does them.
        inference: who must be ready for them.
        slots: jobs in work at a time.
        visibility: for how long a job is asked for at a time, seconds.
        poll: how long one look into the queue lasts, seconds.
        metrics: where it counts.
    """

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        recordings: Recordings,
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
        #: Jobs in a row that failed for reasons that are not their own.
        self._troubles = 0
        self._in_hand: set[asyncio.Task[bool]] = set()
        self._threads = ThreadPoolExecutor(calls_at_a_time(slots), thread_name_prefix="sqs")

    async def run(self) -> None:
        """Work until `stop`, and then until nothing is in hand."""
        try:
            await asyncio.gather(*(self._serve(probe=n == 0) for n in range(self._slots + AHEAD)))
        finally:
            self._threads.shutdown(wait=False)

    def stop(self) -> None:
        """Take no more jobs."""
        self._stopping.set()

    async def give_back(self) -> None:
        """Let others have what is in hand."""
        self.stop()
        tasks = list(self._in_hand)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, *, probe: bool) -> None:
        """Do one job after the other; in an outage only if it is ours to `probe`."""
        failures = 0
        while not self._stopping.is_set():
            if not self._inference.ready or (self._troubles and not probe):
                await self._pause(LOOK)
                continue
            try:
                messages = await self._receive()
                failures = 0
            except (BotoCoreError, ClientError) as error:
                failures += 1
                log.warning("queue_unreachable", error=type(error).__name__, failures=failures)
                await self._pause(_jittered(LONGEST_PAUSE, failures))
                continue
            for message in messages:
                self._troubles = 0 if await self._take(message) else self._troubles + 1
                if self._troubles:
                    await self._pause(_jittered(LONGEST_OUTAGE_PAUSE, self._troubles))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _receive(self) -> list[MessageTypeDef]:
        answer = await self._call(
            self._sqs.receive_message,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=self._poll,
            VisibilityTimeout=round(self._visibility),
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return answer.get("Messages", [])

    async def _take(self, message: MessageTypeDef) -> bool:
        """Do a job, or give it back if there is no time any more.

        Return False if the next one is likely to fail as it did.
        """
        claim = _Claim(message, self._show_in, self._visibility)
        if self._stopping.is_set():  # it came with the last look
            await claim.end(visible_in=0)
            return True
        task = asyncio.create_task(self._do(message, claim))
        self._in_hand.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._in_hand.discard(task)
        if task.cancelled():
            self._metrics.jobs.labels("given_back").inc()
            await claim.end(visible_in=0)
            return True
        await claim.end()
        if error := task.exception():
            log.error("worker_defect", exc_info=error)
            return False
        return task.result()

    async def _do(self, message: MessageTypeDef, claim: _Claim) -> bool:
        """Do a job; return False if the next one is likely to fail as it did."""
        try:
            job = TranscriptionJob.model_validate_json(message.get("Body", ""))
            self._recordings.check_bucket(job.bucket)
            wanted = order(job.bucket, job.key)
        except (ValidationError, RefusedPlace) as error:
            # It stays until the redrive policy puts it aside, for somebody to look at.
            self._metrics.jobs.labels("poison").inc()
            log.error("job_is_none", message_id=message.get("MessageId"), error=_told(error))  # noqa: TRY400 - our own decision, without a stack trace
            return True
        about = {"event_id": job.event_id, "message_id": message.get("MessageId")}
        try:
            outcome = await self._recordings.transcribe(wanted, background=True)
        except Unprocessable as problem:
            log.warning("job_is_in_vain", code=problem.code, **about)
            await self._delete(message, "failed")
            return True
        except Stopping:  # it was not begun
            self._metrics.jobs.labels("given_back").inc()
            await claim.end(visible_in=0)
            return True
        except Problem as problem:
            attempts = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
            self._metrics.jobs.labels("retried").inc()
            log.warning("job_failed", code=problem.code, attempts=attempts, **about)
            await claim.end(visible_in=min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_RETRY))
            return isinstance(problem, Conflict)
        log.info("job_done", already=outcome.already, **about)
        await self._delete(message, "already" if outcome.already else "done")
        return True

    async def _show_in(self, message: MessageTypeDef, seconds: int) -> None:
        """Have a message become visible to others in so many seconds from now."""
        try:
            await self._call(
                self._sqs.change_message_visibility,
                ReceiptHandle=message["ReceiptHandle"],
                VisibilityTimeout=seconds,
            )
        except (BotoCoreError, ClientError) as error:
            # Then it becomes visible when it would have anyway.
            log.warning("visibility_not_changed", error=type(error).__name__, seconds=seconds)

    async def _delete(self, message: MessageTypeDef, end: str) -> None:
        self._metrics.jobs.labels(end).inc()
        try:
            await self._call(self._sqs.delete_message, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError) as error:
            # It comes again, and then its transcript is there already.
            log.warning("job_not_deleted", error=type(error).__name__)

    async def _call(self, function: Callable[..., T], **arguments: Any) -> T:
        """Call SQS in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(function, QueueUrl=self._queue_url, **arguments)
        )


class _Claim:
    """The worker's hold of a message: it asks for more time, until `end`."""

    def __init__(
        self,
        message: MessageTypeDef,
        show_in: Callable[[MessageTypeDef, int], Coroutine[Any, Any, None]],
        visibility: float,
    ) -> None:
        self._message = message
        self._show_in = show_in
        self._visibility = visibility
        self._asking: asyncio.Task[None] | None = None
        self._heartbeat = asyncio.create_task(self._hold())
        self._ended = False

    async def end(self, *, visible_in: int | None = None) -> None:
        """Ask for no more time, and have others see the message in so many seconds if given."""
        if self._ended:
            return
        self._ended = True
        self._heartbeat.cancel()
        if self._asking is not None:  # it must not be later than what follows
            await asyncio.wait({self._asking})
        if visible_in is not None:
            await self._show_in(self._message, visible_in)

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(self._visibility / 3)
            self._asking = asyncio.create_task(
                self._show_in(self._message, round(self._visibility))
            )
            await asyncio.shield(self._asking)


def _jittered(longest: float, failures: int) -> float:
    """Return the pause after so many failures in a row, seconds."""
    return min(longest, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def _told(error: ValidationError | RefusedPlace) -> str:
    if isinstance(error, RefusedPlace):
        return str(error)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in problems[:5])
