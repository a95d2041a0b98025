"""Recordings in S3: fetched, transcribed, and their transcripts stored, once each.

Asking twice for the same transcript is the same as asking once: one that is there already is the
answer, and who asks while it is being made waits for the same work. Two servers may still do the
same at a time; S3 takes the first transcript only (a conditional write).

A recording that can have no transcript gets a stored `Failure` in its place, with the ETag of the
bytes that it is about, so that it stands in nobody's way who uploads better ones. One that is not
there has no bytes and gets none: it may be uploaded yet.

What another attempt can mend is no such failure. But a recording that fails time and again while
others succeed (`gpu_server.work.blame`) is `give_up`'s, when the attempts are used up.
"""

from __future__ import annotations

import asyncio
import errno
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from gpu_server.problems import (
    Conflict,
    Defect,
    Problem,
    RefusedPlace,
    StorageFailed,
    Unprocessable,
    of,
)
from gpu_server.work.blame import Blame, Whose
from gpu_server.work.inference import Inference, Place
from gpu_server.work.spool import Spool, SpoolFile
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import Stopped, TranscriberError
from transcripts.documents import Failure, FailureCode, RecordingTranscript
from transcripts.recordings.keys import (
    FAILURE,
    TRANSCRIPT,
    Chunk,
    Recording,
    UnknownKey,
    beside,
    recording,
)
from transcripts.recordings.objects import Contended
from transcripts.recordings.sessions import chunk_results, uploaded_chunks
from transcripts.recordings.store import DocumentStore, UnreadableDocument

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Read from S3 at once, bytes.
BLOCK: Final = 1024 * 1024
#: Calls of S3 at a time; each waits in a thread.
THREADS: Final = 16
#: A recording that fails by its own fault is better tried again later, from the queue; seconds.
OWN_FAILURE_RETRY: Final = 60
#: Of a session so many objects are looked at, which S3 lists in one answer.
LISTED: Final = 1000
#: What to do about a chunk that is no file although one before it is.
SLICE: Final = (
    " A slice of a MediaRecorder's output is no file of its own, but for the first: start a new "
    "recorder for each chunk."
)

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A recording in S3, and where its transcript belongs."""

    bucket: str
    key: str
    transcript_key: str
    #: None where the transcript goes elsewhere than the layout says.
    audio: Recording | None
    language: str | None = None
    diarize: bool | None = None

    @property
    def asks_for(self) -> tuple[str, str | None, bool | None]:
        """What its transcript depends on, besides the bucket."""
        return self.key, self.language, self.diarize


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The transcript is there."""

    transcript_key: str
    already: bool
    #: None if it was there already.
    transcript: RecordingTranscript | None


@dataclass(slots=True)
class _Work:
    """An order that is being carried out."""

    order: Order
    waiting: int = 0
    #: Of the recording, once S3 has told it.
    etag: str | None = None
    place: Place | None = None
    task: asyncio.Task[Outcome] = field(init=False)

    @property
    def begun(self) -> bool:
        """Whether a transcriber is at it, or was."""
        return self.place is not None and self.place.begun


def order(
    bucket: str,
    key: str,
    *,
    transcript_key: str | None = None,
    language: str | None = None,
    diarize: bool | None = None,
) -> Order:
    """Return an order for a recording of the layout, or with a place for its transcript.

    Raises:
        RefusedPlace: it is not in the layout and no place is given, or the place is not one of a
            transcript.
    """
    audio: Recording | None = None
    if transcript_key is None:
        try:
            audio = recording(key)
            transcript_key = audio.transcript_key
        except UnknownKey as error:
            raise RefusedPlace(f"{str(error).capitalize()}; give s3_output_path.") from None
    elif not _may_be_written(transcript_key):
        raise RefusedPlace(
            f"A transcript's key ends in {TRANSCRIPT} and is not where recordings are."
        )
    return Order(
        bucket=bucket,
        key=key,
        transcript_key=transcript_key,
        audio=audio,
        language=language,
        diarize=diarize,
    )


def _may_be_written(key: str) -> bool:
    if not key.endswith(TRANSCRIPT) or "/audio/" in key:
        return False
    try:
        recording(key)
    except UnknownKey:
        return True
    return False


class Recordings:
    """Carries orders out. A context manager.

    Args:
        s3: a client, which is used by many threads.
        buckets: the ones that this server works for, by name.
        inference: the queue.
        spool: where recordings are put meanwhile.
        max_seconds: length of the longest recording.
        now: the clock.
    """

    def __init__(
        self,
        s3: S3Client,
        buckets: Mapping[str, DocumentStore],
        *,
        inference: Inference,
        spool: Spool,
        max_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._s3 = s3
        self._buckets = buckets
        self._inference = inference
        self._spool = spool
        self._max_seconds = max_seconds
        self._now = now
        self._blame = Blame()
        self._work: dict[tuple[str, str], _Work] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")

    def check_bucket(self, bucket: str) -> None:
        """Check that a bucket is one of ours.

        Raises:
            RefusedPlace: it is not.
        """
        if bucket not in self._buckets:
            raise RefusedPlace("The bucket is not one of those that this server works for.")

    async def transcribe(self, order: Order, *, background: bool = False) -> Outcome:
        """Have a recording transcribed and the transcript stored.

        Cancelling it changes nothing: whoever gave up is going to ask again, and so the recording
        keeps its place in the queue, or its transcriber. In the background it is called off, unless
        others wait for it, too.

        Raises:
            RefusedPlace: the bucket is not one of ours.
            Unprocessable: no transcript can be made of it; why is stored in its place, unless it
                is gone.
            Conflict: another transcript is being made for the same place.
            Problem: another attempt can help; `whose` says whose failure it is.
        """
        self.check_bucket(order.bucket)
        about = (order.bucket, order.transcript_key)
        work = self._work.get(about)
        if work is None:
            work = self._work[about] = _Work(order)
            work.task = asyncio.create_task(self._carry_out(order, work, background=background))
            work.task.add_done_callback(partial(self._over, about, work))
        elif (
            work.order.asks_for != order.asks_for
        ):  # its outcome, good or bad, would be no answer to this one
            raise Conflict(
                "Another transcript is being made for this place, of another recording or with "
                "other options.",
                retry_after=30,
            )
        elif work.place is not None and not background:
            work.place.hurry()
        work.waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if background and not work.waiting and not work.task.done():
                self._forget(about, work)  # who asks from now on begins anew
                work.task.cancel()

    async def give_up(self, order: Order, problem: Problem, *, attempts: int) -> bool:
        """Store that so many attempts at a recording were in vain, by its own fault.

        Return False where that cannot be held against any bytes, since S3 has not given them.

        Args:
            order: of the recording.
            problem: how the last attempt ended.
            attempts: how many there were.

        Raises:
            StorageFailed: S3 cannot be reached, or refuses.
        """
        if problem.etag is None:
            return False
        failure = Unprocessable(
            FailureCode.KEEPS_FAILING,
            f"{attempts} attempts made no transcript, and other recordings do not fail. The last "
            f"time: {problem} If a later version may do better, upload it again with --force.",
        )
        await self._store(order, failure, problem.etag)
        return True

    def begun(self, order: Order) -> bool:
        """Return whether a transcriber is at it, or was, and the transcript is being stored."""
        work = self._work.get((order.bucket, order.transcript_key))
        return work is not None and work.begun

    async def stored(self, order: Order) -> RecordingTranscript | None:
        """Return the transcript that is stored, None if there is none.

        Raises:
            StorageFailed: S3 cannot be reached, or refuses.
        """
        found = await self._call(
            self._buckets[order.bucket].get, order.transcript_key, RecordingTranscript
        )
        return found.document if found is not None else None

    async def finish(self) -> None:
        """Wait until every order is carried out, also those for which nobody waits any more."""
        while tasks := [work.task for work in self._work.values()]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Give up what is not done."""
        tasks = [work.task for work in self._work.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, about: tuple[str, str], work: _Work) -> None:
        if self._work.get(about) is work:
            del self._work[about]

    def _over(self, about: tuple[str, str], work: _Work, task: asyncio.Task[Outcome]) -> None:
        self._forget(about, work)
        if not task.cancelled():
            task.exception()  # marks it as seen: nobody may be waiting for it

    async def _carry_out(self, order: Order, work: _Work, *, background: bool) -> Outcome:
        """Make one attempt, and judge whose failure it is if it fails."""
        about = (order.bucket, order.transcript_key)
        try:
            outcome = await self._attempt(order, work, background=background)
        except Problem as problem:
            self._judge(about, problem, work.etag)
            raise
        except Exception as error:  # noqa: BLE001 - as any other failure of this recording
            # Without what it says, which might quote the transcript.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("recording_defect", error=type(error).__name__, where=where)  # noqa: TRY400 - as above
            defect = Defect("The server has a defect; its log has the details.")
            self._judge(about, defect, work.etag)
            raise defect from None
        if work.begun:
            self._blame.succeeded(about)
        return outcome

    def _judge(self, about: tuple[str, str], problem: Problem, etag: str | None) -> None:
        """Find out whose failure a problem is, and note that in it."""
        if not problem.is_failure:
            return
        problem.whose, problem.etag = self._blame.failed(about), etag
        if problem.whose is Whose.RECORDING:
            problem.retry_after = OWN_FAILURE_RETRY

    async def _attempt(self, order: Order, work: _Work, *, background: bool) -> Outcome:
        bucket = self._buckets[order.bucket]
        if await self._call(bucket.objects.exists, order.transcript_key):
            if order.audio is not None:  # who stored it may have died before the captions
                await self._call(bucket.repair_captions, order.audio)
            return Outcome(transcript_key=order.transcript_key, already=True, transcript=None)
        try:
            with (
                self._inference.place(background=background) as work.place,
                self._spool.file() as file,
            ):
                await self._call(self._fetch, order, file, work)
                transcription = await work.place.transcribe(
                    file.path,
                    TranscriptionOptions(
                        language=order.language,
                        diarize=order.diarize,
                        max_seconds=self._max_seconds,
                    ),
                    recording=(order.bucket, order.transcript_key),
                )
        except (TranscriberError, Stopped) as error:
            problem = of(error)
            if isinstance(problem, Unprocessable):
                problem = await self._noted(order, problem, work.etag)
            raise problem from error
        except Unprocessable as problem:
            raise await self._noted(order, problem, work.etag) from None
        transcript = self._transcript(order, transcription, work.etag)
        new = (
            await self._call(bucket.write_transcript, order.audio, transcript)
            if order.audio is not None
            else await self._call(bucket.put_once, order.transcript_key, transcript)
        )
        return Outcome(
            transcript_key=order.transcript_key,
            already=not new,
            transcript=transcript if new else None,
        )

    def _transcript(
        self, order: Order, transcription: Transcription, etag: str | None
    ) -> RecordingTranscript:
        return RecordingTranscript(
            key=order.key,
            etag=etag,
            duration=transcription.duration,
            language=transcription.language,
            engine=transcription.engine,
            audio_track=transcription.audio_track,
            missing=transcription.missing,
            created_at=self._now(),
            segments=transcription.segments,
        )

    async def _noted(self, order: Order, problem: Unprocessable, etag: str | None) -> Unprocessable:
        """Store why there can be no transcript, and return it with what else is known."""
        if etag is None:
            return problem  # about no bytes, and must not be held against those that come later
        if problem.failure is FailureCode.UNSUPPORTED_LANGUAGE and order.language is not None:
            return problem  # the request is to blame, not the recording
        if (
            problem.failure is FailureCode.NOT_AUDIO
            and isinstance(order.audio, Chunk)
            and await self._call(_follows_a_file, self._buckets[order.bucket], order.audio)
        ):
            problem = Unprocessable(problem.failure, f"{problem}{SLICE}")
        await self._store(order, problem, etag)
        return problem

    async def _store(self, order: Order, problem: Unprocessable, etag: str) -> None:
        """Store why there is no transcript of these bytes."""
        failure = Failure(
            key=order.key,
            etag=etag,
            code=problem.failure,
            message=str(problem),
            created_at=self._now(),
        )
        bucket = self._buckets[order.bucket]
        if order.audio is not None:
            await self._call(bucket.write_failure, order.audio, failure)
        else:
            await self._call(bucket.put_once, beside(order.transcript_key, FAILURE), failure)

    def _fetch(self, order: Order, file: SpoolFile, work: _Work) -> None:
        """Write the recording to a file, and its ETag to `work`, also if it is refused.

        Raises:
            Unprocessable: it is gone, or too large.
            BotoCoreError, ClientError: S3 cannot be reached, or refuses.
        """
        try:
            answer = self._s3.get_object(Bucket=order.bucket, Key=order.key)
        except ClientError as error:
            if _code(error) in ("NoSuchKey", "404"):
                raise Unprocessable(
                    FailureCode.GONE, "There is no such recording; it may have been deleted."
                ) from None
            raise
        # Entering the body itself would give the stream below it, which does not check its length.
        with closing(answer["Body"]) as body:
            work.etag = answer["ETag"]
            file.expect(answer["ContentLength"])
            for block in body.iter_chunks(BLOCK):
                file.write(block)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something that uses S3 in a thread.

        Raises:
            StorageFailed: S3 cannot be reached, or refuses.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, function, *arguments)
        except ClientError as error:
            log.warning("storage_refused", code=_code(error))
            raise StorageFailed(f"S3 refused: {_code(error)}.", retry_after=10) from error
        except (Contended, UnreadableDocument) as error:
            log.warning("storage_in_the_way", error=type(error).__name__)
            raise StorageFailed(f"S3: {error}.", retry_after=10) from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.warning("storage_unreachable", error=type(error).__name__)
            raise StorageFailed("S3 cannot be reached.", retry_after=10) from error


def _follows_a_file(bucket: DocumentStore, chunk: Chunk) -> bool:
    """Return whether a chunk comes after a first one that, as far as is known, is a file."""
    session = chunk.session
    audio = islice(bucket.objects.list(session.chunks_prefix), LISTED)
    first = min(uploaded_chunks(session, (each.key for each in audio)), default=chunk.number)
    if first >= chunk.number:
        return False
    known = chunk_results(session, islice(bucket.objects.list(session.outcomes_prefix), LISTED))
    return first not in known.failures


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
