"""The process that loads a model once and forks a worker for each stream.

It has one thread and no event loop, so forking it is safe, and a worker is ready in the time of
a fork, with the model shared copy-on-write. `multiprocessing`'s own fork server is not used: it
hides a failing import, cannot be stopped, and imports the program's main script in each worker.

It is started by `workers.py` with two arguments: the descriptor of a Unix socket, and the
`ModelSpec` as JSON. On the socket it sends one line, `ready` or why the model cannot be loaded.
Then each message received carries the descriptor of a socket for a new worker.

Nothing outlives the parent: when it goes, however it goes, the socket reads as closed, and the
server kills its process group, which holds nothing but itself and the workers. Signals meant for
the service (Ctrl-C reaches a whole terminal, SIGTERM sometimes a whole container) are ignored:
the parent decides how long its streams may still talk.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from typing import BinaryIO

from speech.engines.blocking import (
    HEADER_BYTES,
    MODEL_SPEC,
    OPTIONS,
    REPORT,
    BlockingModel,
    ModelSpec,
    Report,
    body_length,
    framed,
)

READY = "ready"


def main(control_fd: int, spec: ModelSpec, niceness: int) -> None:
    """Load the model, then fork on request until the parent is gone."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    control = socket.socket(fileno=control_fd)
    try:
        model = load(spec)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        control.sendall(f"{type(error).__name__}: {error}\n".encode())
        return
    # What exists now is shared with the workers; the collector would touch, and so copy, all of it.
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
    """Be a worker: never return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.nice(niceness)
        with stream, stream.makefile("rb") as reader:
            serve(stream, reader, model)
    except (ConnectionError, EOFError):
        pass  # the parent has closed the stream
    except Exception:  # noqa: BLE001 - the parent sees the socket close, a person wants the cause
        traceback.print_exc()
    finally:
        os._exit(0)  # not the way the server exits: a fork must not run what it set up


def serve(stream: socket.socket, reader: BinaryIO, model: BlockingModel) -> None:
    """Recognise one stream.

    Raises:
        EOFError, ConnectionError: the parent has closed the stream.
    """
    stream.sendall(framed(REPORT.dump_json(Report(pid=os.getpid()))))
    options = OPTIONS.validate_json(_read(reader))
    try:
        recogniser = model.open(options)
        while pcm := _read(reader):
            report = Report(tuple(recogniser.accept(pcm)))
            stream.sendall(framed(REPORT.dump_json(report)))
        report = Report(tuple(recogniser.finish()), finished=True)
    except (ConnectionError, EOFError):
        raise
    except Exception as error:  # noqa: BLE001 - the stream ends with it, and the parent is told
        traceback.print_exc()
        report = Report(error=f"{type(error).__name__}: {error}")
    stream.sendall(framed(REPORT.dump_json(report)))


def _read(reader: BinaryIO) -> bytes:
    header = reader.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise EOFError
    length = body_length(header)
    body = reader.read(length)
    if len(body) < length:
        raise EOFError
    return body


if __name__ == "__main__":
    main(int(sys.argv[1]), MODEL_SPEC.validate_json(sys.argv[2]), int(sys.argv[3]))
