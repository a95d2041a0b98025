"""The worker: does the jobs of the SQS queue, one at a time for each slot, and has one more ready.

    receive (long poll) -> transcribe and store (`gpu_server.work.recordings`) -> delete
                           while that lasts: more visibility, now and then

The one more is taken and fetched while the slots work, so that a slot which becomes free goes on at
once: what S3 and SQS take would otherwise be time in which a GPU waits.

A message is deleted only when its transcript is stored, or why there can be none. What another
attempt can mend becomes visible again after a pause that grows with the attempts; what is no job
is left alone; and the queue's redrive policy puts aside what has come too often. A job that is
done twice, because a message came twice or a worker was given up too early, is stored once.

The one more is looked for only while a job is in hand for each slot, and without waiting for it,
so that it is taken from no other server that has nothing to do.

To stop, the worker finishes what a slot works on. What is not begun, or cannot be finished in time,
it gives back: the message is visible to others at once. A worker that dies gives back nothing, and
its message is visible again when the time is over for which it last asked.

While the model or the storage fails, one job is tried now and then (`_Outage`), so that it does not
use up the attempts of all that wait. A job that fails alone is no outage and delays nobody; when
its attempts are used up, the reason is stored in place of its transcript. Whose failure it is,
`gpu_server.work.blame` judges.
"""

from __future__ import annotations

import asyncio
import json
import random
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

from gpu_server.problems import (
    EngineStalled,
    Problem,
    RefusedPlace,
    Stopping,
    StorageFailed,
    Unprocessable,
)
from gpu_server.telemetry import Metrics
from gpu_server.work.blame import Whose
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import Order, Recordings, order
from transcripts.recordings.keys import TranscriptionJob

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Jobs that are made ready while the slots work.
AHEAD: Final = 1
#: The pause before a job is tried again doubles with each attempt; seconds.
FIRST_RETRY: Final = 60
LONGEST_RETRY: Final = 900
#: Attempts at a job where the queue has no such number; as many as `infra.recordings` provisions.
ATTEMPTS: Final = 6
#: The pause after the queue could not be reached, seconds.
LONGEST_PAUSE: Final = 30.0
#: The longest pause while every job fails for reasons that are not its own, seconds.
LONGEST_OUTAGE_PAUSE: Final = 300.0
#: How often to look whether a model is ready again, or a job in hand for each slot, seconds.
LOOK: Final = 0.5
#: How often to look for one more job while there is none, seconds.
LOOK_AHEAD: Final = 2.0

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
        self._outage = _Outage()
        self._in_hand: dict[asyncio.Task[_End], _Claim] = {}
        #: Jobs in hand, and looks for one that is going to be.
        self._wanted = 0
        self._threads = ThreadPoolExecutor(calls_at_a_time(slots), thread_name_prefix="sqs")

    async def run(self) -> None:
        """Work until `stop`, and then until nothing is in hand."""
        loops = [asyncio.create_task(self._serve(probe=not n)) for n in range(self._slots + AHEAD)]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
            self.stop()  # a defect of one is no reason for others to lose what they have in hand
            await asyncio.wait(loops)
            for loop in loops:
                loop.result()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self._threads.shutdown(wait=False)

    def stop(self) -> None:
        """Take no more jobs, and let others have those that no slot has begun."""
        self._stopping.set()
        for task, claim in self._in_hand.items():
            if claim.order is None or not self._recordings.begun(claim.order):
                task.cancel()

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
            ahead = self._wanted >= self._slots
            if (
                not self._inference.ready
                or (not probe and self._outage.lasts)
                or (ahead and len(self._in_hand) < self._slots)
            ):
                await self._pause(LOOK)
                continue
            began = time.monotonic()
            self._wanted += 1
            try:
                messages = await self._receive(0 if ahead else self._poll)
                failures = 0
                pause = LOOK_AHEAD if ahead and not messages else 0.0
                for message in messages:
                    pause = self._outage.after(began, await self._take(message))
            except (BotoCoreError, ClientError) as error:
                failures += 1
                log.warning("queue_unreachable", error=type(error).__name__, failures=failures)
                pause = _jittered(LONGEST_PAUSE, failures)
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
        """Do a job, or give it back if there is no time any more; return how it ended."""
        claim = _Claim(message, self._show_in, self._visibility)
        if self._stopping.is_set():  # it came with the last look
            await claim.end(visible_in=0)
            return _GIVEN_BACK
        task = asyncio.create_task(self._do(message, claim))
        self._in_hand[task] = claim
        try:
            await asyncio.wait({task})
        finally:
            del self._in_hand[task]
        if task.cancelled():
            end = _GIVEN_BACK
        elif error := task.exception():
            log.error("worker_defect", exc_info=error)
            end = _End("defect")
        else:
            end = task.result()
        # Not within the task: what is over is not given back.
        self._metrics.jobs.labels(end.how).inc()
        await claim.end(visible_in=end.visible_in)
        if end.delete:
            await self._delete(message)
        return end

    async def _do(self, message: MessageTypeDef, claim: _Claim) -> _End:
        """Do a job; return what becomes of its message."""
        try:
            job = TranscriptionJob.model_validate_json(message.get("Body", ""))
            self._recordings.check_bucket(job.bucket)
            claim.order = wanted = order(job.bucket, job.key)
        except (ValidationError, RefusedPlace) as error:
            # It stays until the redrive policy puts it aside, for somebody to look at.
            log.error("job_is_none", message_id=message.get("MessageId"), error=_told(error))  # noqa: TRY400 - our own decision, without a stack trace
            return _End("poison")
        about = {"event_id": job.event_id, "message_id": message.get("MessageId")}
        try:
            outcome = await self._recordings.transcribe(wanted, background=True)
        except Unprocessable as problem:
            log.warning("job_is_in_vain", code=problem.code, **about)
            return _End("failed", delete=True)
        except Stopping:  # it was not begun
            return _GIVEN_BACK
        except Problem as problem:
            attempts = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
            failure = {
                "code": problem.code,
                "attempts": attempts,
                "whose": problem.whose.name.lower(),
            }
            if await self._given_up(wanted, problem, attempts):
                log.error("job_given_up", **failure, **about)  # noqa: TRY400 - no stack needed
                return _End("given_up", delete=True)
            log.warning("job_failed", **failure, **about)
            return _End(
                "retried",
                visible_in=min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_RETRY),
                outage=problem.whose is Whose.OUTAGE,
            )
        log.info("job_done", already=outcome.already, **about)
        how = "already" if outcome.already else "done"
        return _End(how, delete=True, succeeded=not outcome.already)

    async def _given_up(self, wanted: Order, problem: Problem, attempts: int) -> bool:
        """Store why a recording has no transcript if this was its last attempt.

        The last one of those at which the engine stalls is the second: each keeps a slot from
        others for minutes.

        Return whether that is done. In an outage it is not: the message is put aside among the
        dead letters, from where it can be sent again.
        """
        if not problem.is_failure or problem.whose in (Whose.OUTAGE, Whose.EITHER):
            return False
        stalled_again = isinstance(problem, EngineStalled) and problem.whose is Whose.RECORDING
        try:
            if not stalled_again and attempts < await self._last_attempt():
                return False
            return await self._recordings.give_up(wanted, problem, attempts=attempts)
        except StorageFailed:
            return False

    async def _last_attempt(self) -> int:
        """Return after how many attempts the queue's redrive policy puts a message aside."""
        try:
            answer = await self._call(
                self._sqs.get_queue_attributes, AttributeNames=["RedrivePolicy"]
            )
            return int(json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"])
        except (KeyError, ValueError):  # it has no such policy
            return ATTEMPTS
        except (BotoCoreError, ClientError) as error:
            log.warning("redrive_policy_unknown", error=type(error).__name__)
            return ATTEMPTS

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

    async def _delete(self, message: MessageTypeDef) -> None:
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


@dataclass(frozen=True, slots=True)
class _End:
    """What becomes of a message."""

    #: As it is counted.
    how: str
    delete: bool = False
    #: When others are to see it, seconds from now; None leaves that as it is.
    visible_in: int | None = None
    #: Whether a transcript was made, which others can be, too.
    succeeded: bool = False
    #: Whether the next job is likely to fail as this one did.
    outage: bool = False


_GIVEN_BACK: Final = _End("given_back", visible_in=0)


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
        #: What it is about, once that is known.
        self.order: Order | None = None
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


class _Outage:
    """Jobs that failed one after the other for reasons that are not their own."""

    def __init__(self) -> None:
        self._failures = 0
        self._last = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the next job is likely to fail, too; not for ever, if no other is tried."""
        return self._failures > 0 and time.monotonic() - self._last < LONGEST_OUTAGE_PAUSE

    def after(self, began: float, end: _End) -> float:
        """Return how long to pause after a job that was begun then (monotonic), seconds."""
        if end.succeeded:
            self._failures = 0
        if not end.outage:
            return 0.0
        if began >= self._last:  # what was in hand already fails for the same reason
            self._failures += 1
        self._last = time.monotonic()
        return _jittered(LONGEST_OUTAGE_PAUSE, self._failures)


def _jittered(longest: float, failures: int) -> float:
    """Return the pause after so many failures in a row, seconds."""
    return min(longest, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def _told(error: ValidationError | RefusedPlace) -> str:
    if isinstance(error, RefusedPlace):
        return str(error)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in problems[:5])
