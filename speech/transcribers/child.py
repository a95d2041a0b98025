"""The process of a transcriber; `speech.transcribers.process` starts it.

One thread transcribes, another one receives messages, so that a job can be cancelled. However the
server ends, the socket then reads as closed, and the process ends at once. It ignores signals for
the server, which decides how long its transcriber goes on.

The output and the logs of libraries are dropped, because some of them quote the recording.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from foundation.logs import configure_logging
from speech.engines.blocking import frame_message, read_message
from speech.transcribers.base import Transcriber
from speech.transcribers.choice import (
    TranscriberSpec,
    choose_kind,
    create_transcriber,
    find_unused_settings,
    inspect_machine,
)
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    OutOfMemory,
    Stopped,
    TranscriberError,
    TranscriptionFailed,
)
from speech.transcribers.memory import build_out_of_memory, is_out_of_memory
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

#: The least time between two reports of a job's progress, seconds.
REPORT_INTERVAL: Final = 1.0

log = structlog.get_logger(__name__)


def main(descriptor: int, niceness: int) -> None:
    """Load the transcriber in the first message, and run jobs until the server is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(niceness)
    _silence()
    with socket.socket(fileno=descriptor) as connection:
        Child(connection).run()


def create(spec: TranscriberSpec) -> Transcriber:
    """Create the transcriber for this machine, and log settings without an effect on it.

    Raises:
        TranscriberUnavailable: the settings contradict each other or this machine.
    """
    machine = inspect_machine(demands_gpu=spec.device == "cuda")
    made = create_transcriber(spec, machine)
    for name in find_unused_settings(spec, choose_kind(spec, machine)):
        log.warning("setting_without_effect", setting=name, engine=made.engine)
    return made


class Child:
    """The process's end of the socket."""

    def __init__(
        self,
        connection: socket.socket,
        make: Callable[[TranscriberSpec], Transcriber] = create,
    ) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._make = make
        self._jobs: queue.Queue[Transcribe] = queue.Queue()
        self._cancelled: set[int] = set()
        self._sending = threading.Lock()

    def run(self) -> None:
        """Run jobs until the server is gone or the model no longer works."""
        first = self._receive()
        if not isinstance(first, Load):
            return
        try:
            made = self._make(first.spec)
            made.load()
        except TranscriberError as error:
            self._send(NotLoaded(message=str(error)))
            return
        except Exception as error:  # noqa: BLE001 - the server reports whatever it is
            traceback.print_exc()
            self._send(NotLoaded(message=f"{type(error).__name__}: {error}"))
            return
        threading.Thread(target=self._receive_all, daemon=True).start()
        self._send(
            Loaded(
                engine=made.engine,
                model=made.model,
                device=made.device,
                pid=os.getpid(),
                light=made.light,
            )
        )
        while self._work(made, self._jobs.get()):
            pass

    def _work(self, made: Transcriber, job: Transcribe) -> bool:
        """Run a job; return whether the process can run another."""
        try:
            self._send(self._transcribe(made, job))
        except BadRecording as error:
            self._send(
                Refused(job=job.job, error="bad_recording", message=str(error), code=error.code)
            )
        except OptionUnavailable as error:
            self._send(Refused(job=job.job, error="option_unavailable", message=str(error)))
        except Stopped:
            self._send(Refused(job=job.job, error="stopped", message="cancelled"))
        except Exception as error:  # noqa: BLE001 - it ends the job, and the server gets it
            # Without its message, which might quote the recording.
            traceback.print_tb(error.__traceback__)
            failure = _to_failure(error, made.device)
            out_of_memory = isinstance(failure, OutOfMemory)
            fit = not out_of_memory and _is_fit(made)
            self._send(
                Failed(job=job.job, message=str(failure), fit=fit, out_of_memory=out_of_memory)
            )
            return fit
        return True

    def _transcribe(self, made: Transcriber, job: Transcribe) -> Done:
        reported = 0.0

        def progress(done: float) -> None:
            nonlocal reported
            if job.job in self._cancelled:
                raise Stopped
            now = time.monotonic()
            if now - reported >= REPORT_INTERVAL:
                reported = now
                self._send(Working(job=job.job, done=done))

        progress(0.0)
        return Done(
            job=job.job, transcription=made.transcribe(Path(job.path), job.options, progress)
        )

    def _receive_all(self) -> None:
        while True:
            message = self._receive()
            match message:
                case Transcribe():
                    self._cancelled.clear()
                    self._jobs.put(message)
                case Cancel(job=job):
                    self._cancelled.add(job)
                case _:
                    os._exit(0)  # the server is gone, and nobody waits for the job

    def _receive(self) -> ToProcess | None:
        """Return the next message; None when the server is gone."""
        try:
            return TO_PROCESS.validate_json(read_message(self._reader))
        except (EOFError, OSError):
            return None

    def _send(self, message: Any) -> None:
        body = frame_message(FROM_PROCESS.dump_json(message))
        with self._sending:
            try:
                self._connection.sendall(body)
            except OSError:
                os._exit(0)


def _to_failure(error: Exception, device: str) -> TranscriptionFailed:
    """Describe an error without quoting the recording: our own messages, else the type."""
    if isinstance(error, TranscriptionFailed):
        return error
    if isinstance(error, TranscriberError):
        return TranscriptionFailed(str(error))
    if is_out_of_memory(error):
        return build_out_of_memory(device)
    return TranscriptionFailed(f"the transcriber raised {type(error).__name__}")


def _is_fit(made: Transcriber) -> bool:
    """Return whether a transcriber still works after an exception."""
    try:
        made.check()
    except Exception:  # noqa: BLE001 - whatever it is, the process is replaced
        return False
    return True


def _silence() -> None:
    """Drop all output but our own logs and stack traces."""
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    configure_logging("debug")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
