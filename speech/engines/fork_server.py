"""The process that loads a model once and forks a worker for each stream.

It has one thread and no event loop, so forking is safe. Two libraries would add threads if the
environment did not prevent it: numpy's OpenBLAS (see `workers.py`) and onnxruntime's telemetry (see
`moonshine/model.py`). Even with the latter, none of 5,000 measured forks was blocked; a worker that
does not report in time is replaced all the same. A worker is ready after a fork, with the model
shared copy-on-write. `multiprocessing`'s own fork server is not used: it hides a failing import,
cannot be stopped, and imports the program's main script in each worker.

It is started by `workers.py` with two arguments: the descriptor of a Unix socket, and the
`ModelSpec` as JSON. On the socket it sends one line, `ready` or why the model cannot be loaded.
Then each message received carries the descriptor of a socket for a new worker.

Nothing outlives the parent: however it ends, the socket then reads as closed, and the
server kills its process group, which contains only itself and the workers. It ignores signals for
the service (Ctrl-C reaches a whole terminal, SIGTERM sometimes a whole container): the parent
decides how long its streams go on.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from typing import Final

from speech.engines.blocking import (
    HEADER_BYTES,
    MODEL_SPEC,
    OPTIONS,
    REPORT,
    BlockingModel,
    ModelSpec,
    Report,
    frame_message,
    parse_header,
    read_message,
)
from speech.engines.errors import EngineError
from speech.pcm import BYTES_PER_SECOND

READY = "ready"
#: Audio that waits is passed to a recogniser together, which makes one partial of it at most. Where
#: so much waits, the recogniser is behind; bytes.
_MOST_TOGETHER: Final = BYTES_PER_SECOND


def main(control_fd: int, spec: ModelSpec, niceness: int) -> None:
    """Load the model, then fork on request until the parent is gone."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    control = socket.socket(fileno=control_fd)
    try:
        model = load(spec)
    except Exception as error:  # noqa: BLE001 - the parent reports whatever it is
        # An engine's own errors are written for users.
        name = "" if isinstance(error, EngineError) else f"{type(error).__name__}: "
        control.sendall(f"{name}{error}\n".encode())
        return
    # All objects so far are shared with the workers; the collector would touch, and so copy, them.
    gc.collect()
    gc.freeze()
    control.sendall(f"{READY}\n".encode())
    _fork_until_closed(control, model, niceness)
    os.killpg(0, signal.SIGKILL)


def load(spec: ModelSpec) -> BlockingModel:
    """Import and call the model's factory."""
    module, _, name = spec.factory.partition(":")
    model: BlockingModel = getattr(importlib.import_module(module), name)(**spec.settings)
    return model


def _fork_until_closed(control: socket.socket, model: BlockingModel, niceness: int) -> None:
    """Fork a worker for each descriptor received."""
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            return
        if not message:
            return
        for descriptor in descriptors:
            stream = socket.socket(fileno=descriptor)
            if os.fork() == 0:
                control.close()
                _work(stream, model, niceness)
            stream.close()


def _work(stream: socket.socket, model: BlockingModel, niceness: int) -> None:
    """Serve one stream as a worker process; never return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.nice(niceness)
        with stream:
            serve(stream, model)
    except (ConnectionError, EOFError):
        pass  # the parent has closed the stream
    except Exception:  # noqa: BLE001 - the parent sees the socket close, the log needs the cause
        traceback.print_exc()
    finally:
        os._exit(0)  # without the server's exit handlers, which a fork must not run


def serve(stream: socket.socket, model: BlockingModel) -> None:
    """Recognise one stream.

    Raises:
        EOFError, ConnectionError: the parent has closed the stream.
    """
    stream.sendall(frame_message(REPORT.dump_json(Report(pid=os.getpid()))))
    reader = MessageReader(stream)
    options = OPTIONS.validate_json(read_message(reader))
    try:
        recogniser = model.open(options)
        while pcm := reader.read_audio():
            report = Report(tuple(recogniser.accept(pcm, is_behind=len(pcm) >= _MOST_TOGETHER)))
            stream.sendall(frame_message(REPORT.dump_json(report)))
        report = Report(tuple(recogniser.finish()), finished=True)
    except (ConnectionError, EOFError):
        raise
    except Exception as error:  # noqa: BLE001 - it ends the stream, and the parent gets it
        traceback.print_exc()
        report = Report(error=f"{type(error).__name__}: {error}")
    stream.sendall(frame_message(REPORT.dump_json(report)))


class MessageReader:
    """Reads the messages on a socket."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def read(self, count: int, /) -> bytes:
        """Return `count` bytes, or fewer where the parent has closed the stream."""
        data = bytearray()
        while len(data) < count:
            # A signal that stops the process ends MSG_WAITALL early, so fewer bytes are no end.
            piece = self._stream.recv(count - len(data), socket.MSG_WAITALL)
            if not piece:
                break
            data += piece
        return bytes(data)

    def read_audio(self) -> bytes:
        """Return the next audio and what waits behind it; nothing at the end of the audio.

        Raises:
            EOFError, ConnectionError: the parent has closed the stream.
        """
        pcm = read_message(self)
        while pcm and len(pcm) < _MOST_TOGETHER and self._next_length():
            pcm += read_message(self)
        return pcm

    def _next_length(self) -> int:
        """Return the length of the message that waits; 0 without one."""
        try:
            header = self._stream.recv(HEADER_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        return parse_header(header) if len(header) == HEADER_BYTES else 0


if __name__ == "__main__":
    main(int(sys.argv[1]), MODEL_SPEC.validate_json(sys.argv[2]), int(sys.argv[3]))
