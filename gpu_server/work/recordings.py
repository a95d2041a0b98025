"""Recordings in S3: fetches and transcribes them, and stores each transcript once.

Requests for the same transcript are idempotent. A transcript that exists is the answer, and
callers that ask while it is being made wait for the same work. Two servers may still do the same
work at a time; a conditional write makes S3 keep the first transcript only.

A recording that can have no transcript gets a stored `Failure` instead, with the ETag of the bytes
that failed, so that a better upload under the same key is not blocked. A recording that does not
exist has no bytes and gets no `Failure`: it may be uploaded yet.

Failures that a retry can repair are not stored. But when a recording keeps failing while others
succeed (`gpu_server.work.blame`) and its attempts are used up, `give_up` stores that.
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
    Cause,
    Conflict,
    Defect,
    Problem,
    RefusedPlace,
    StorageFailed,
    Unprocessable,
    to_problem,
)
from gpu_server.work.blame import Blame
from gpu_server.work.inference import Inference, QueuePlace
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
#: Calls to S3 at a time; each waits in a thread.
THREADS: Final = 16
#: `Retry-After` for a recording that caused its own failure: a later retry is better, seconds.
OWN_FAILURE_RETRY: Final = 60
#: The most objects of a session that are listed, which is one answer of S3.
LISTED: Final = 1000
#: Advice for a chunk that is no valid file although the first one is.
SLICE: Final = (
    " A slice of a MediaRecorder's output is no file of its own, but for the first: start a new "
    "recorder for each chunk."
)

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingJob:
    """A recording in S3 to transcribe, and where its transcript belongs."""

    bucket: str
    key: str
    transcript_key: str
    #: None where the caller chose another place for the transcript than the layout.
    audio: Recording | None
    language: str | None = None
    diarize: bool | None = None

    @property
    def asks_for(self) -> tuple[str, str | None, bool | None]:
        """What the transcript depends on, besides the bucket."""
        return self.key, self.language, self.diarize


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTranscript:
    """A transcript that is stored."""

    transcript_key: str
    #: Whether it was stored before this job.
    already: bool
    #: None if it was stored before.
    transcript: RecordingTranscript | None


@dataclass(slots=True)
class _Work:
    """A job in work and its callers."""

    job: RecordingJob
    waiting: int = 0
    #: Of the recording, once S3 has returned it.
    etag: str | None = None
    place: QueuePlace | None = None
    task: asyncio.Task[StoredTranscript] = field(init=False)

    @property
    def has_begun(self) -> bool:
        """Whether a transcriber has begun with the recording."""
        return self.place is not None and self.place.has_begun


def to_job(
    bucket: str,
    key: str,
    *,
    transcript_key: str | None = None,
    language: str | None = None,
    diarize: bool | None = None,
) -> RecordingJob:
    """Return the job for a recording.

    The key has to follow the layout (`transcripts.recordings`), unless `transcript_key` is given.

    Raises:
        RefusedPlace: the key follows no layout and there is no `transcript_key`, or that is not a
            valid key for a transcript.
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
    return RecordingJob(
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


class RecordingTranscriber:
    """Transcribes recordings in S3 and stores the transcripts.

    Args:
        s3: a client for many threads.
        buckets: the buckets that this server works for, by name.
        inference: the queue in front of the transcribers.
        spool: holds recordings while they are transcribed.
        max_seconds: duration of the longest recording.
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
        """Check that this server works for a bucket.

        Raises:
            RefusedPlace: it does not.
        """
        if bucket not in self._buckets:
            raise RefusedPlace("The bucket is not one of those that this server works for.")

    async def transcribe(self, job: RecordingJob, *, background: bool = False) -> StoredTranscript:
        """Transcribe a recording and store the transcript.

        Cancelling a request does not cancel the work: its caller will ask again, so the recording
        keeps its place in the queue, or its slot. Cancelling a background job cancels the work,
        unless others wait for it, too.

        Raises:
            RefusedPlace: this server does not work for the bucket.
            Unprocessable: there can be no transcript; the reason is stored in its place, unless
                the recording does not exist.
            Conflict: another transcript is being made for the same place.
            Problem: another attempt may succeed; `cause` says what failed.
        """
        self.check_bucket(job.bucket)
        target = (job.bucket, job.transcript_key)
        work = self._work.get(target)
        if work is None:
            work = self._work[target] = _Work(job)
            work.task = asyncio.create_task(self._carry_out(job, work, background=background))
            work.task.add_done_callback(partial(self._forget_done, target, work))
        elif (
            work.job.asks_for != job.asks_for
        ):  # its outcome, good or bad, would be no answer to this one
            raise Conflict(
                "Another transcript is being made for this place, of another recording or with "
                "other options.",
                retry_after=30,
            )
        elif work.place is not None and not background:
            work.place.prioritise()
        work.waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if background and not work.waiting and not work.task.done():
                self._forget(target, work)  # the next caller starts again
                work.task.cancel()

    async def give_up(self, job: RecordingJob, problem: Problem, *, attempts: int) -> bool:
        """Store that a recording failed in every attempt; return whether it was stored.

        Nothing is stored if S3 never returned the recording, because then no bytes have failed.

        Args:
            job: the recording.
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
        await self._store(job, failure, problem.etag)
        return True

    def has_begun(self, job: RecordingJob) -> bool:
        """Return whether a transcriber has begun with a job that is not finished."""
        work = self._work.get((job.bucket, job.transcript_key))
        return work is not None and work.has_begun

    async def stored(self, job: RecordingJob) -> RecordingTranscript | None:
        """Return the stored transcript; None if there is none.

        Raises:
            StorageFailed: S3 cannot be reached, or refuses.
        """
        found = await self._call(
            self._buckets[job.bucket].get, job.transcript_key, RecordingTranscript
        )
        return found.document if found is not None else None

    async def finish(self) -> None:
        """Wait until every job is done, including those without a caller."""
        while tasks := [work.task for work in self._work.values()]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Cancel every job that is not done."""
        tasks = [work.task for work in self._work.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, target: tuple[str, str], work: _Work) -> None:
        if self._work.get(target) is work:
            del self._work[target]

    def _forget_done(
        self, target: tuple[str, str], work: _Work, task: asyncio.Task[StoredTranscript]
    ) -> None:
        self._forget(target, work)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: there may be no caller left

    async def _carry_out(
        self, job: RecordingJob, work: _Work, *, background: bool
    ) -> StoredTranscript:
        """Make one attempt; if it fails, find the cause."""
        target = (job.bucket, job.transcript_key)
        try:
            outcome = await self._attempt(job, work, background=background)
        except Problem as problem:
            self._judge(target, problem, work.etag)
            raise
        except Exception as error:  # noqa: BLE001 - counts as a failure of this recording
            # Without the message, which might quote the transcript.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("recording_defect", error=type(error).__name__, where=where)  # noqa: TRY400 - as above
            defect = Defect("The server has a defect; its log has the details.")
            self._judge(target, defect, work.etag)
            raise defect from None
        if work.has_begun:
            self._blame.record_success(target)
        return outcome

    def _judge(self, target: tuple[str, str], problem: Problem, etag: str | None) -> None:
        """Set the cause and the ETag of a problem that counts as a failure."""
        if not problem.is_failure:
            return
        problem.cause, problem.etag = self._blame.record_failure(target), etag
        if problem.cause is Cause.RECORDING:
            problem.retry_after = OWN_FAILURE_RETRY

    async def _attempt(
        self, job: RecordingJob, work: _Work, *, background: bool
    ) -> StoredTranscript:
        bucket = self._buckets[job.bucket]
        if await self._call(bucket.objects.exists, job.transcript_key):
            if job.audio is not None:  # who stored it may have died before it wrote the captions
                await self._call(bucket.repair_captions, job.audio)
            return StoredTranscript(
                transcript_key=job.transcript_key, already=True, transcript=None
            )
        try:
            with (
                self._inference.take_place(background=background) as work.place,
                self._spool.create_file() as file,
            ):
                await self._call(self._fetch, job, file, work)
                transcription = await work.place.transcribe(
                    file.path,
                    TranscriptionOptions(
                        language=job.language,
                        diarize=job.diarize,
                        max_seconds=self._max_seconds,
                    ),
                    recording=(job.bucket, job.transcript_key),
                )
        except (TranscriberError, Stopped) as error:
            problem = to_problem(error)
            if isinstance(problem, Unprocessable):
                problem = await self._store_reason(job, problem, work.etag)
            raise problem from error
        except Unprocessable as problem:
            raise await self._store_reason(job, problem, work.etag) from None
        transcript = self._transcript(job, transcription, work.etag)
        new = (
            await self._call(bucket.write_transcript, job.audio, transcript)
            if job.audio is not None
            else await self._call(bucket.put_once, job.transcript_key, transcript)
        )
        return StoredTranscript(
            transcript_key=job.transcript_key,
            already=not new,
            transcript=transcript if new else None,
        )

    def _transcript(
        self, job: RecordingJob, transcription: Transcription, etag: str | None
    ) -> RecordingTranscript:
        return RecordingTranscript(
            key=job.key,
            etag=etag,
            duration=transcription.duration,
            language=transcription.language,
            engine=transcription.engine,
            audio_track=transcription.audio_track,
            missing=transcription.missing,
            created_at=self._now(),
            segments=transcription.segments,
        )

    async def _store_reason(
        self, job: RecordingJob, problem: Unprocessable, etag: str | None
    ) -> Unprocessable:
        """Store the reason why there can be no transcript; return it with advice added."""
        if etag is None:
            return problem  # no bytes have failed, so a later upload must not be blocked
        if problem.failure is FailureCode.UNSUPPORTED_LANGUAGE and job.language is not None:
            return problem  # the request is the cause, not the recording
        if (
            problem.failure is FailureCode.NOT_AUDIO
            and isinstance(job.audio, Chunk)
            and await self._call(_follows_a_file, self._buckets[job.bucket], job.audio)
        ):
            problem = Unprocessable(problem.failure, f"{problem}{SLICE}")
        await self._store(job, problem, etag)
        return problem

    async def _store(self, job: RecordingJob, problem: Unprocessable, etag: str) -> None:
        """Store the reason why these bytes have no transcript."""
        failure = Failure(
            key=job.key,
            etag=etag,
            code=problem.failure,
            message=str(problem),
            created_at=self._now(),
        )
        bucket = self._buckets[job.bucket]
        if job.audio is not None:
            await self._call(bucket.write_failure, job.audio, failure)
        else:
            await self._call(bucket.put_once, beside(job.transcript_key, FAILURE), failure)

    def _fetch(self, job: RecordingJob, file: SpoolFile, work: _Work) -> None:
        """Write the recording to a file; set `work.etag`, even if the recording is refused.

        Raises:
            Unprocessable: the recording does not exist, or is too large.
            BotoCoreError, ClientError: S3 cannot be reached, or refuses.
        """
        try:
            answer = self._s3.get_object(Bucket=job.bucket, Key=job.key)
        except ClientError as error:
            if _code(error) in ("NoSuchKey", "404"):
                raise Unprocessable(
                    FailureCode.GONE, "There is no such recording; it may have been deleted."
                ) from None
            raise
        # `with` on the body itself returns the raw stream, which does not check its length.
        with closing(answer["Body"]) as body:
            work.etag = answer["ETag"]
            file.check_size(answer["ContentLength"])
            for block in body.iter_chunks(BLOCK):
                file.write(block)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that uses S3 in a thread.

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
            log.warning("storage_conflict", error=type(error).__name__)
            raise StorageFailed(f"S3: {error}.", retry_after=10) from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.warning("storage_unreachable", error=type(error).__name__)
            raise StorageFailed("S3 cannot be reached.", retry_after=10) from error


def _follows_a_file(bucket: DocumentStore, chunk: Chunk) -> bool:
    """Return whether the first chunk of the session is a valid file, as far as is known."""
    session = chunk.session
    audio = islice(bucket.objects.list(session.chunks_prefix), LISTED)
    first = min(uploaded_chunks(session, (each.key for each in audio)), default=chunk.number)
    if first >= chunk.number:
        return False
    known = chunk_results(session, islice(bucket.objects.list(session.outcomes_prefix), LISTED))
    return first not in known.failures


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
