"""The process in which a transcriber lives; started by `speech.transcribers.process`.

One thread transcribes, another one listens, so that a job can be called off. When the server is
gone, however it went, the socket reads as closed and the process ends at once. Signals meant for
the server are ignored: it decides how long its transcriber may still work.

What libraries print and log goes nowhere, for some of them tell what was said.
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
from speech.engines.blocking import HEADER_BYTES, frame_message, parse_header
from speech.transcribers.base import Transcriber
from speech.transcribers.choice import (
    TranscriberSpec,
    kind,
    this_machine,
    transcriber,
    without_effect,
)
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    OutOfMemory,
    Stopped,
    TranscriberError,
    TranscriptionFailed,
)
from speech.transcribers.memory import is_out_of_memory, lack
from speech.transcribers.messages import (
    FROM_PROCESS,
    TO_PROCESS,
    CallOff,
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

#: So often at most does a job say that it is alive, seconds.
SIGN_OF_LIFE: Final = 1.0

log = structlog.get_logger(__name__)


def main(descriptor: int, niceness: int) -> None:
    """Load the transcriber that the first message names, and work until the server is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(niceness)
    _silence()
    with socket.socket(fileno=descriptor) as connection:
        Child(connection).run()


def chosen(spec: TranscriberSpec) -> Transcriber:
    """Return this machine's transcriber, and log what is set and has no effect on it.

    Raises:
        TranscriberUnavailable: what is set does not go together.
    """
    machine = this_machine(demands_gpu=spec.device == "cuda")
    made = transcriber(spec, machine)
    for name in without_effect(spec, kind(spec, machine)):
        log.warning("setting_without_effect", setting=name, engine=made.engine)
    return made


class Child:
    """The process's end of the socket."""

    def __init__(
        self,
        connection: socket.socket,
        make: Callable[[TranscriberSpec], Transcriber] = chosen,
    ) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._make = make
        self._jobs: queue.Queue[Transcribe] = queue.Queue()
        self._called_off: set[int] = set()
        self._sending = threading.Lock()

    def run(self) -> None:
        """Work until the server is gone, or something went wrong."""
        first = self._receive()
        if not isinstance(first, Load):
            return
        try:
            made = self._make(first.spec)
            made.load()
        except TranscriberError as error:
            self._send(NotLoaded(message=str(error)))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the server must hear of it
            traceback.print_exc()
            self._send(NotLoaded(message=f"{type(error).__name__}: {error}"))
            return
        threading.Thread(target=self._listen, daemon=True).start()
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
        """Do a job; return whether the process is well afterwards."""
        try:
            self._send(self._done(made, job))
        except BadRecording as error:
            self._send(
                Refused(job=job.job, error="bad_recording", message=str(error), code=error.code)
            )
        except OptionUnavailable as error:
            self._send(Refused(job=job.job, error="option_unavailable", message=str(error)))
        except Stopped:
            self._send(Refused(job=job.job, error="stopped", message="called off"))
        except Exception as error:  # noqa: BLE001 - the job ends with it, and the server is told
            # Only where it was raised: what it says might quote the recording.
            traceback.print_tb(error.__traceback__)
            failure = _in_words(error, made.device)
            out_of_memory = isinstance(failure, OutOfMemory)
            fit = not out_of_memory and _is_fit(made)
            self._send(
                Failed(job=job.job, message=str(failure), fit=fit, out_of_memory=out_of_memory)
            )
            return fit
        return True

    def _done(self, made: Transcriber, job: Transcribe) -> Done:
        told = 0.0

        def progress(done: float) -> None:
            nonlocal told
            if job.job in self._called_off:
                raise Stopped
            now = time.monotonic()
            if now - told >= SIGN_OF_LIFE:
                told = now
                self._send(Working(job=job.job, done=done))

        progress(0.0)
        return Done(
            job=job.job, transcription=made.transcribe(Path(job.path), job.options, progress)
        )

    def _listen(self) -> None:
        while True:
            message = self._receive()
            match message:
                case Transcribe():
                    self._called_off.clear()
                    self._jobs.put(message)
                case CallOff(job=job):
                    self._called_off.add(job)
                case _:
                    os._exit(0)  # the server is gone; nobody waits for what is being done

    def _receive(self) -> ToProcess | None:
        """Return the next message; None when the server is gone."""
        try:
            header = self._reader.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                return None
            return TO_PROCESS.validate_json(self._reader.read(parse_header(header)))
        except OSError:
            return None

    def _send(self, message: Any) -> None:
        body = frame_message(FROM_PROCESS.dump_json(message))
        with self._sending:
            try:
                self._connection.sendall(body)
            except OSError:
                os._exit(0)


def _in_words(error: Exception, device: str) -> TranscriptionFailed:
    """Return a failure in words that quote nothing: our own errors' words, of others the name."""
    if isinstance(error, TranscriptionFailed):
        return error
    if isinstance(error, TranscriberError):
        return TranscriptionFailed(str(error))
    if is_out_of_memory(error):
        return lack(device)
    return TranscriptionFailed(f"the transcriber raised {type(error).__name__}")


def _is_fit(made: Transcriber) -> bool:
    """Return whether a transcriber that has raised something still computes."""
    try:
        made.check()
    except Exception:  # noqa: BLE001 - whatever it is, the process is replaced
        return False
    return True


def _silence() -> None:
    """Let nothing but our own logs and stack traces out."""
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    configure_logging("debug")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
