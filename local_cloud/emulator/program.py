"""The program in the emulator's process: ministack, with data that survive a crash.

    .venv-emulator/bin/python local_cloud/emulator/program.py --data DIR [--port N] [--watch-stdin]

ministack pins botocore, so it runs in a virtual environment of its own, and this file imports
nothing else of the tree but `events`, `pages` and `sign_in`, which import nothing. It serves on
127.0.0.1 and then prints `Serving http://127.0.0.1:PORT`; all other output goes to stderr. SIGTERM,
SIGINT and, with `--watch-stdin`, the end of stdin (the end of the parent) end it with a last
snapshot. Functions inherit its environment, and their own configuration overrides it.

ministack keeps everything in memory and saves it at an orderly end. To survive a `kill -9`, the
state is also saved every two seconds after a change, and at once on SIGUSR1. This calls private
functions of ministack, so its version is pinned, and `tests/integration/test_emulator.py` checks
each feature that we rely on.

Exit codes: 0 an orderly end, 1 another emulator uses the data or the port is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from local_cloud.emulator.events import Deliveries, PendingEvent

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HOST = "127.0.0.1"
REGION = "us-east-1"

#: Pause between two snapshots, seconds. It grows with their cost, so that they take at most a
#: `MAX_SHARE` of the time, but not beyond `LONGEST_INTERVAL`: data that are seen twice, 15 seconds
#: apart, are in a snapshot (the service's `CONFIRM_SECONDS` relies on that).
SNAPSHOT_INTERVAL = 2.0
LONGEST_INTERVAL = 10.0
MAX_SHARE = 0.05

#: Log streams kept of each function. ministack makes one per invocation and deletes none.
LOG_STREAMS = 200

#: Prefixes of the actions in `X-Amz-Target` that only read.
READING = ("BatchGet", "Describe", "Get", "List", "Query", "Scan")

#: SQS's answer where there is no message.
NOTHING = b"{}"


class Refused(Exception):
    """The emulator cannot start; the message is for people."""


class Snapshots:
    """Saves the state of every service after changes.

    The order protects against a kill between two files. Queues are read before and written after
    everything else, so that a message disappears from the disk only once its effects are there. At
    worst a message is delivered again, as with SQS itself.
    """

    def __init__(self) -> None:
        self._changed = False
        self._is_settled = True
        self._asked = asyncio.Event()
        #: The events that may be removed from the disk once a snapshot holds their effects.
        self.deliveries: Deliveries | None = None

    def note_change(self) -> None:
        """Request the next snapshots."""
        self._changed = True

    def hurry(self) -> None:
        """Take the next snapshot now."""
        self._changed = True
        self._asked.set()

    def due(self) -> bool:
        """Return whether to save now: after a change, and once more after that.

        Once more, because an event source mapping may act after the last request, for example
        delete a message, without a request that could be observed.
        """
        due = self._changed or not self._is_settled
        self._is_settled = not self._changed
        self._changed = False
        return due

    def save(self) -> float:
        """Save everything and return the seconds that it took.

        It runs on the event loop, so that nothing changes at the same time.
        """
        from ministack.app import _build_persistence_save_dict  # noqa: PLC0415 - reads the environment when imported

        started = time.perf_counter()
        done = self.deliveries.completed() if self.deliveries else []
        gc.disable()  # the copies hold no cycles, and the search for them takes a third of the time
        try:
            services = sorted(
                _build_persistence_save_dict().items(), key=lambda service: service[0] != "sqs"
            )
            states = [(name, get_state()) for name, get_state in services]
            for name, state in reversed(states):
                if state is not None:
                    write(name, state)
        finally:
            gc.enable()
        if self.deliveries and done:
            self.deliveries.remove(done)
        return time.perf_counter() - started

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        pause = SNAPSHOT_INTERVAL
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), pause)
            self._asked.clear()
            if not self.due():
                continue
            trim_logs()
            try:
                pause = min(max(SNAPSHOT_INTERVAL, self.save() / MAX_SHARE), LONGEST_INTERVAL)
            except (OSError, RuntimeError, TypeError, ValueError) as error:
                # A full disk; a change by another thread during the copy; a state that is no JSON.
                print(f"no snapshot, will try again: {error!r}", file=sys.stderr)  # noqa: T201 - stderr is the log
                self.note_change()


def write(service: str, state: object) -> None:
    """Write the state of a service atomically, in ministack's format.

    ministack's own `save_state` writes the same, but takes three times as long: it uses
    `json.dump`, which CPython does not implement in C.
    """
    from ministack.core import persistence  # noqa: PLC0415 - see `Snapshots.save`

    document = {
        "__ministack_format__": persistence._state_format_version(service),  # noqa: SLF001 - the version is pinned
        "payload": state,
    }
    path = Path(persistence.STATE_DIR) / f"{service}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, default=persistence._json_default))  # noqa: SLF001 - the same
    new.replace(path)


def trim_logs() -> None:
    """Remove all but the newest log streams of each function."""
    logs = sys.modules.get("ministack.services.cloudwatch_logs")
    if logs is None:
        return
    for _, group in logs._log_groups.all_items():  # noqa: SLF001 - ministack has no retention
        streams = group["streams"]
        for name in list(streams)[:-LOG_STREAMS]:
            del streams[name]


def action(scope: Scope) -> str:
    """Return the `X-Amz-Target` of an HTTP request; empty where it has none."""
    for name, value in scope.get("headers", ()):
        if name.lower() == b"x-amz-target":
            target: str = value.decode("latin-1")
            return target
    return ""


def only_reads(scope: Scope) -> bool:
    """Return whether an HTTP request cannot change anything."""
    if target := action(scope):
        return target.rpartition(".")[2].startswith(READING)
    return scope["method"] in ("GET", "HEAD")


def observed(
    application: Callable[[Scope, Receive, Send], Awaitable[None]],
    *,
    snapshots: Snapshots,
    started: Callable[[], None],
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Wrap an ASGI application: note its changes, and call `started` when it has started."""

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        answer = b""

        async def watching(message: Message) -> None:
            nonlocal answer
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                started()
            elif message["type"] == "http.response.body":
                answer = (answer + message.get("body", b""))[: len(NOTHING) + 1]

        try:
            await application(scope, receive, watching)
        finally:
            # A receive call on an empty queue changes nothing, and workers make such calls always.
            is_empty = answer == NOTHING and action(scope).endswith(".ReceiveMessage")
            if scope["type"] == "http" and not is_empty and not only_reads(scope):
                snapshots.note_change()

    return wrapper


class Lambdas:
    """The functions of ministack, for `Deliveries`."""

    def __init__(self) -> None:
        from ministack.services import lambda_svc  # noqa: PLC0415 - see `Snapshots.save`

        self._service: Any = lambda_svc

    def invoke(self, event: PendingEvent) -> bool:
        """Run a function; return whether it succeeded or does not exist any more."""
        service = self._service
        function, config, _ = service._get_func_record_for_ref(event.function)  # noqa: SLF001 - the version is pinned
        if not function or not config:
            print(f"an event's function is gone: {event.function}", file=sys.stderr)  # noqa: T201 - stderr is the log
            return True
        record = service._execution_record_for_config(function, config)  # noqa: SLF001 - the same
        payload = json.loads(event.payload)
        result = service._execute_function_with_config_scope(record, payload)  # noqa: SLF001 - the same
        return not result.get("error")

    def retry_in(self, event: PendingEvent) -> float | None:
        """Return the delay of the next attempt, seconds; None: there is none."""
        from local_cloud.emulator.events import RETRIES  # noqa: PLC0415 - found only as a program

        retries = self._settings(event).get("MaximumRetryAttempts")
        if event.failures > (RETRIES if retries is None else int(retries)):
            return None
        first: float = self._service._LAMBDA_ASYNC_RETRY_BASE_SECONDS  # noqa: SLF001 - the version is pinned
        return first * 2.0 ** (event.failures - 1)

    def give_up(self, event: PendingEvent) -> None:
        """Send an event to the function's destination for failures."""
        aim = self._settings(event).get("DestinationConfig", {}).get("OnFailure", {})
        if aim.get("Destination"):
            name = event.function.split(":")[6]
            payload = json.loads(event.payload)
            failure = {"function_error": "Unhandled"}
            self._service._route_async_failure(aim["Destination"], name, payload, failure)  # noqa: SLF001 - the version is pinned

    def _settings(self, event: PendingEvent) -> dict[str, Any]:
        """Return the configuration for asynchronous events of a function's alias."""
        function, _, _ = self._service._get_base_func_record_for_ref(event.function)  # noqa: SLF001 - the version is pinned
        alias = ":".join(event.function.split(":")[7:])
        return self._service._event_invoke_config(function or {}, alias or None) or {}  # noqa: SLF001 - the same


def deliver_events(data: Path, snapshots: Snapshots) -> Deliveries:
    """Queue EventBridge's events for their functions, which ministack would drop."""
    from ministack.services import eventbridge  # noqa: PLC0415 - see `Snapshots.save`

    from local_cloud.emulator.events import Deliveries, EventJournal  # noqa: PLC0415 - found only as a program

    journal = EventJournal(data / "events.db")
    deliveries = Deliveries(journal, Lambdas(), changed=snapshots.note_change)
    eventbridge._dispatch_to_lambda = deliveries.accept  # noqa: SLF001 - the version is pinned
    snapshots.deliveries = deliveries
    return deliveries


def lock(data: Path) -> TextIO:
    """Lock `data` against other emulators while the returned file is open.

    Raises:
        Refused: another emulator uses it.
    """
    file = (data / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Refused(f"another emulator uses {data}; stop it, or give another folder") from None
    return file


def listen(port: int) -> socket.socket:
    """Return a listening socket on the loopback; port 0 takes a free one.

    Raises:
        Refused: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        raise Refused(f"port {port} cannot be had: {error.strerror}") from None
    listener.listen()
    return listener


def configure(data: Path, port: int) -> None:
    """Set ministack's environment, which its Lambda functions inherit.

    The user's variables for AWS and proxies are dropped: nothing here may reach a real account.
    """
    for name in list(os.environ):
        if name.startswith(("AWS_", "LAMBDA_", "MINISTACK_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    scratch = data / "scratch"  # unpacked code of functions, which a killed process leaves behind
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in ("services", "s3", "scratch"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SECRET_ACCESS_KEY": "test",  # the emulator checks no signatures
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "BIND_HOST": HOST,
        "DOCKER_HOST": f"unix://{os.devnull}/none",  # never look for a Docker engine
        "GATEWAY_PORT": "4566",  # part of the queues' names, not where it listens: never change
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "1",
        "S3_DATA_DIR": str(data / "s3"),
        "S3_PERSIST": "1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(data / "services"),
        "TMPDIR": str(scratch),
    }


def announce(port: int) -> None:
    """Print the address for the parent process, then redirect stdout to stderr."""
    print(f"Serving http://{HOST}:{port}", flush=True)  # noqa: T201 - what the parent waits for
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


async def serve(listener: socket.socket, data: Path, *, watch_stdin: bool) -> None:
    """Serve until a signal or the end of stdin, then save everything once more."""
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415 - see `Snapshots.save`
    from hypercorn.config import Config  # noqa: PLC0415 - the same
    from ministack import app  # noqa: PLC0415 - the same

    from local_cloud.emulator.pages import without_foreign_pages  # noqa: PLC0415 - found only as a program
    from local_cloud.emulator.sign_in import with_sign_in  # noqa: PLC0415 - found only as a program

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if watch_stdin:
        threading.Thread(target=_wait_for_end_of_stdin, args=(loop, stop), daemon=True).start()

    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = 75.0  # longer than botocore keeps an idle connection
    snapshots = Snapshots()
    deliveries = deliver_events(data, snapshots)

    def started() -> None:
        announce(port)
        deliveries.resume()

    loop.add_signal_handler(signal.SIGUSR1, snapshots.hurry)
    mended = with_sign_in(app.app, lambda: app._get_module("cognito"))  # noqa: SLF001 - the version is pinned
    seen = observed(mended, snapshots=snapshots, started=started)
    application: Any = without_foreign_pages(seen)
    saving = asyncio.create_task(snapshots.run())
    await hypercorn_serve(application, config, shutdown_trigger=stop.wait)
    saving.cancel()
    snapshots.save()  # once more, for events that were completed during the shutdown


def _wait_for_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def main() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description="the AWS of one machine")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the data")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin ends")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    try:
        locked = lock(data)
        listener = listen(arguments.port)
    except Refused as refusal:
        print(f"emulator: {refusal}", file=sys.stderr)  # noqa: T201 - a program's message
        return 1
    configure(data, listener.getsockname()[1])
    asyncio.run(serve(listener, data, watch_stdin=arguments.watch_stdin))

    from ministack.core import lambda_runtime  # noqa: PLC0415 - see `Snapshots.save`

    lambda_runtime.reset()  # ends the functions' processes
    locked.close()
    sys.stderr.flush()
    os._exit(0)  # everything is saved, and threads in a long poll would delay a normal exit


if __name__ == "__main__":
    # At the end of the path, so that nothing in the tree hides an installed module.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
