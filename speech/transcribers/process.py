"""A transcriber in a process of its own, seen from the server's event loop.

    event loop                          process (model loaded once)
      TranscriberProcess --- socket ---> child: one Transcriber, one job at a time

The loop only reads and writes a socket, so it serves others while the model computes, even if that
holds the interpreter's lock. Native code that crashes ends its own process only. The process reads
files from strangers, so its environment has no AWS credentials. The server also hides its own
environment from the process (`gpu_server.host.hidden`).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog
from pydantic import ValidationError

from speech.engines.blocking import HEADER_BYTES, frame_message, parse_header
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.choice import TranscriberSpec, may_fetch
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    OutOfMemory,
    Stopped,
    TranscriberCrashed,
    TranscriberStalled,
    TranscriberUnavailable,
    TranscriptionFailed,
)
from speech.transcribers.messages import (
    FROM_PROCESS,
    TO_PROCESS,
    Cancel,
    Done,
    Failed,
    Load,
    Loaded,
    NotLoaded,
    Refused,
    ToProcess,
    Transcribe,
    Working,
)
from transcripts.documents import FailureCode

#: The longest message that is accepted, bytes. An hour of speech takes about one MiB.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
#: The time in which a cancelled job must stop before its process is killed, seconds.
STOP_SECONDS: Final = 10.0
#: The time in which a process must end after it has closed its socket, seconds.
DEATH_SECONDS: Final = 1.0
#: Environment variables that the process does not get, in addition to all of AWS.
SECRETS: Final = ("AUTH_TOKEN",)

#: The end of a job: a message of the process, or its death.
_Ended: TypeAlias = Done | Refused | Failed | TranscriberCrashed

log = structlog.get_logger(__name__)


class TranscriberProcess:
    """Starts a process, gives it one job at a time, and detects its end.

    Args:
        spec: the transcriber.
        start_seconds: the longest time for loading.
        stall_seconds: the longest time without progress of a job.
        niceness: added to the process's nice value (0 to 19, higher is a lower priority).
        module: the module that the process runs; tests have their own.
    """

    def __init__(
        self,
        spec: TranscriberSpec,
        *,
        start_seconds: float = 600.0,
        stall_seconds: float = 600.0,
        niceness: int = 5,
        module: str = "speech.transcribers.child",
    ) -> None:
        self._spec = spec
        self._start_seconds = start_seconds
        self._stall_seconds = stall_seconds
        self._niceness = niceness
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._jobs = itertools.count(1)
        self._reading: asyncio.Task[None] | None = None
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        #: The report of the process about itself, while it is alive.
        self.loaded: Loaded | None = None
        #: Set when the process is gone.
        self.gone = asyncio.Event()

    async def start(self) -> Loaded:
        """Start the process and wait until the model is loaded.

        Raises:
            TranscriberUnavailable: it cannot be loaded.
        """
        await self.stop()
        self.gone = asyncio.Event()
        self._answers = asyncio.Queue()
        try:
            self._process, ours = await asyncio.to_thread(self._spawn)
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except OSError as error:  # no memory, no descriptors, no processes
            await self.stop()
            raise TranscriberUnavailable(f"no process can be started: {error}") from error
        self._reading = asyncio.create_task(self._read(self._reader, self.gone))
        self._send(Load(spec=self._spec))
        try:
            async with asyncio.timeout(self._start_seconds):
                answer = await self._answers.get()
        except TimeoutError:
            await self.stop()
            raise TranscriberUnavailable(
                f"the model was not loaded within {self._start_seconds:g} seconds"
            ) from None
        except asyncio.CancelledError:
            await self.stop()
            raise
        if isinstance(answer, Loaded):
            self.loaded = answer
            return answer
        await self.stop()
        raise TranscriberUnavailable(
            answer.message
            if isinstance(answer, NotLoaded)
            else "the transcriber's process died while it was loading"
        )

    async def transcribe(self, path: Path, options: TranscriptionOptions) -> Transcription:
        """Transcribe a file; one at a time. Cancelling the call cancels the job.

        Raises:
            BadRecording: the recording can have no transcript.
            OptionUnavailable: a requested option is not available.
            TranscriberCrashed: the process died or made no progress; it has to be started again.
            TranscriptionFailed: the model raised an exception, or cannot do its work; the process
                is gone, too, unless the model was found to work.
            OutOfMemory: there is too little memory; the process is gone, too.
        """
        if self.loaded is None or self.gone.is_set():
            raise TranscriberCrashed("the transcriber's process is not running")
        job = next(self._jobs)
        self._send(Transcribe(job=job, path=str(path), options=options))
        try:
            ended = await self._await_end(job, self._stall_seconds)
        except asyncio.CancelledError:
            await self._cancel(job)
            raise
        if _is_unfit(ended):
            await self.stop()
        return _result(ended)

    async def stop(self) -> None:
        """Kill the process."""
        self.loaded = None
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(asyncio.to_thread(process.wait))
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._reading is not None:
            reading, self._reading = self._reading, None
            await asyncio.gather(reading, return_exceptions=True)

    def _spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Return a new process and our end of its socket.

        Raises:
            OSError: the system has no resources for it.
        """
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", self._module, str(theirs.fileno()), str(self._niceness)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(os.environ, self._spec),
                process_group=0,  # not reached by the terminal's Ctrl-C
            )
            undo.pop_all()
        return process, ours

    async def _await_end(self, job: int, patience: float) -> _Ended:
        """Wait for the end of a job; `patience` bounds the seconds between two messages."""
        while True:
            try:
                async with asyncio.timeout(patience):
                    answer = await self._answers.get()
            except TimeoutError:
                log.error("transcriber_stalled", seconds=patience)  # noqa: TRY400 - no stack needed
                return TranscriberStalled(
                    f"the transcriber's process made no progress for {patience:g} seconds"
                )
            if answer is None:
                return TranscriberCrashed(await self._describe_death())
            if not isinstance(answer, Working) and answer.job == job:
                ended: Done | Refused | Failed = answer
                return ended

    async def _describe_death(self) -> str:
        """Describe how the process died."""
        code = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):  # it may end later than its socket
                code = await asyncio.to_thread(self._process.wait, DEATH_SECONDS)
        return f"the transcriber's process died{_cause(code)}"

    async def _cancel(self, job: int) -> None:
        """Cancel a job; kill the process if the job does not stop."""
        self._send(Cancel(job=job))
        try:
            async with asyncio.timeout(STOP_SECONDS):
                ended = await self._await_end(job, STOP_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            ended = TranscriberStalled("it does not stop")
        if _is_unfit(ended):
            await self.stop()

    def _send(self, message: ToProcess) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame_message(TO_PROCESS.dump_json(message)))

    async def _read(self, reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
        """Queue the messages of the process, and None at its end."""
        answers = self._answers
        try:
            while True:
                length = parse_header(await reader.readexactly(HEADER_BYTES))
                if length > MAX_MESSAGE_BYTES:
                    break
                answers.put_nowait(FROM_PROCESS.validate_json(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        except ValidationError:
            log.error("transcriber_message_invalid")  # noqa: TRY400 - the error quotes it
        finally:
            gone.set()
            self.loaded = None
            answers.put_nowait(None)


def _cause(code: int | None) -> str:
    """Return what the exit code of a process (subprocess.Popen) shows of its death."""
    if code is None or code >= 0:
        return "" if code is None else f" with status {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        lack = ", as where the machine's memory is not enough" if name == "SIGKILL" else ""
        return f" by {name}{lack}"
    return f" by signal {-code}"


def _is_unfit(ended: _Ended) -> bool:
    """Return whether the process cannot run another job after this end of one."""
    return isinstance(ended, TranscriberCrashed) or (isinstance(ended, Failed) and not ended.fit)


def _result(ended: _Ended) -> Transcription:
    match ended:
        case Done(transcription=transcription):
            return transcription
        case Refused(error="bad_recording", code=FailureCode() as code, message=message):
            raise BadRecording(code, message)
        case Refused(error="option_unavailable", message=message):
            raise OptionUnavailable(message)
        case Refused():
            raise Stopped
        case Failed(message=message, out_of_memory=True):
            raise OutOfMemory(message)
        case Failed(message=message):
            raise TranscriptionFailed(message)
        case TranscriberCrashed():
            raise ended


def _environment(ours: Mapping[str, str], spec: TranscriberSpec) -> dict[str, str]:
    """Return the environment for the process: ours without secrets."""
    kept = {
        name: value
        for name, value in ours.items()
        if not name.startswith("AWS_") and name not in SECRETS
    }
    kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - "" is the cwd here
    kept["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime, in faster-whisper, reports to its makers
    if not may_fetch(spec):
        kept["HF_HUB_OFFLINE"] = "1"  # all models are in the folder or in a cache
    return kept
