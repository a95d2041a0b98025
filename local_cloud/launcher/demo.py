"""`make demo`: starts everything on this machine, keeps it running, and ends it gracefully.

The emulator with the CDK's stacks starts first, then the service, then the edge, which is part of
this process. They end in the reverse order, so that the service can still send its finals to the
queue.

The server for recordings starts when all else runs, and recordings that come before are queued.
The functions get its address and its callers' secret before it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path

from aiohttp import web

from local_cloud import ROOT, logs
from local_cloud.accounts.setup import Accounts, set_up
from local_cloud.edge import server
from local_cloud.edge.accounts import EdgeAccounts
from local_cloud.errors import InvalidSettings, LaunchError
from local_cloud.launcher.account import find_account
from local_cloud.launcher.data_folder import (
    check_not_running,
    data_folder,
    existing_parent,
    lock_folder,
)
from local_cloud.launcher.disk import DISK_TO_GO_ON, DISK_TO_START, check_disk, describe_os_error
from local_cloud.launcher.parts.emulator import EmulatorPart
from local_cloud.launcher.parts.part import DemoPart, PartFailed, keep_running
from local_cloud.launcher.parts.recordings import RecordingsPart
from local_cloud.launcher.parts.service import ServicePart
from local_cloud.launcher.parts.transcribe import TranscribePart
from local_cloud.launcher.plan import DemoPlan
from local_cloud.launcher.ports import HOST, chosen_port, free_port, take_port
from local_cloud.launcher.preflight import EXIT_FAILURE, EXIT_USAGE
from local_cloud.launcher.shell_file import shell_file
from local_cloud.launcher.terminal import print_line
from local_cloud.launcher.validation import validate

DIST = ROOT / "frontend" / "dist"
#: A signal that follows another within this time is the same request, seconds: `timeout` and
#: `make` pass on signals that the terminal sends as well.
SAME_REQUEST_SECONDS = 0.5
#: How long open connections get to end when the edge stops, seconds.
EDGE_SHUTDOWN_SECONDS = 1.0

#: How often the free disk is checked, seconds.
DISK_SECONDS = 5.0

#: Where the emulator shows the mail that AWS would send.
MAIL = "/_ministack/ses/messages"

EXIT_FORCED = 130


def _relative(path: Path) -> str:
    """Return a path as people write it in the folder where the demo is started."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Demo:
    """One run of the demo."""

    def __init__(self, *, folder: Path, port: int, plan: DemoPlan) -> None:
        self._folder = folder
        self._port = port
        self._plan = plan
        self._parts: list[DemoPart] = []
        self._emulator: EmulatorPart | None = None
        self._began = time.monotonic()

    async def run(self) -> None:
        """Run until cancelled; being cancelled ends everything gracefully.

        A start that is refused leaves nothing in the folder.

        Raises:
            LaunchError: the folder, the port, the disk or the built page is missing.
            PartFailed: a part does not start or stay up.
        """
        folder = self._folder
        check_not_running(folder)
        check_disk(shutil.disk_usage(existing_parent(folder)).free, DISK_TO_START, folder)
        if not (DIST / "index.html").exists():
            raise LaunchError("The web page is not built. `make demo` builds it.")
        with take_port(self._port) as listener, lock_folder(folder) as lock:
            server.small_buffers(listener)
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            lock.write_text(json.dumps({"pid": os.getpid(), "url": url}))
            async with contextlib.AsyncExitStack() as stack:
                await self._serve(stack, listener, url)

    async def _serve(
        self, stack: contextlib.AsyncExitStack, listener: socket.socket, url: str
    ) -> None:
        folder, plan = self._folder, self._plan
        for line in plan.notes:
            print_line(line)
        recordings = RecordingsPart(
            log=self._new_log("transcriber"),
            work=folder / "transcriber",
            port=free_port(),
            token=secrets.token_urlsafe(32),
        )
        emulator = EmulatorPart(folder, print_line, functions=recordings.functions)
        self._emulator = emulator
        await self._start(stack, emulator, "AWS emulator")
        stack.push_async_callback(emulator.settle)

        accounts = None
        if plan.has_accounts:
            print_line("Setting up the accounts ...")
            port = listener.getsockname()[1]
            page = [f"http://{name}:{port}" for name in (HOST, "localhost")]
            bucket = emulator.resources.recordings_bucket
            accounts = await asyncio.to_thread(set_up, emulator.cloud, folder, page, bucket)

        emulated = emulator.cloud.environment()
        recordings.configure(emulated, emulator.resources)
        names = {
            "CLOUDSCRIBE_URL": url,
            "CONVERSATIONS_TABLE": emulator.resources.table_name,
            "RECORDINGS_BUCKET": emulator.resources.recordings_bucket,
        }
        calls_port = free_port()
        if plan.local_transcribe:
            names["AWS_ENDPOINT_URL_TRANSCRIBE"] = f"http://{HOST}:{calls_port}"
        shell = stack.enter_context(shell_file(folder, emulated, names))

        parts: list[DemoPart] = [emulator]
        found = emulator.cloud.shared_environment() if plan.own_account else emulated
        settings = {**found, **plan.settings}
        if plan.local_transcribe:
            transcribe = TranscribePart(
                log=self._new_log("transcribe"),
                port=free_port(),
                calls_port=calls_port,
                environment=emulated,
            )
            await self._start(stack, transcribe, "local Amazon Transcribe")
            settings["TRANSCRIBE_ENDPOINT"] = transcribe.url
            parts.append(transcribe)

        service = ServicePart(
            log=self._new_log("service"),
            port=free_port(),
            environment={
                **settings,
                "QUEUE_URL": emulator.resources.queue_url,
                "TABLE_NAME": emulator.resources.table_name,
                "STREAMS_TABLE": emulator.resources.streams_table,
                "OUTBOX_PATH": str(folder / "outbox.db"),
            },
            access_table=accounts.table if accounts else None,
        )
        edge = _edge(service.url, accounts.edge if accounts else None)
        runner = await stack.enter_async_context(edge)
        watching = [
            asyncio.create_task(_show_errors("service", service.log)),
            asyncio.create_task(_show_errors("transcriber", recordings.log)),
            asyncio.create_task(_watch_disk(folder)),
        ]
        stack.push_async_callback(_cancel, *watching)
        parts.append(service)
        await self._start(stack, service, f"service with the engine {plan.engine}")
        self._parts.append(recordings)
        stack.push_async_callback(_stop, service, recordings)

        stack.callback((await server.listen(runner, listener)).close)
        self._print_ready(url, emulator, shell)
        if accounts:
            _print_accounts(accounts, emulator.cloud.endpoint, url)
        await _first_failure(
            *(keep_running(part, print_line) for part in parts), _start_and_keep(recordings)
        )

    def _new_log(self, name: str) -> Path:
        """Return the path of a part's log, with that of the last run rotated."""
        log = self._folder / "logs" / f"{name}.log"
        logs.rotate(log)
        return log

    async def _start(self, stack: contextlib.AsyncExitStack, part: DemoPart, title: str) -> None:
        print_line(f"Starting the {title} ...")
        self._parts.append(part)
        stack.push_async_callback(part.stop)
        await part.start()

    def _print_ready(self, url: str, emulator: EmulatorPart, shell: Path) -> None:
        seconds = time.monotonic() - self._began
        endpoint = emulator.cloud.endpoint
        sourced = f". {shlex.quote(_relative(shell))}"
        for line in (
            f"Everything runs after {seconds:.1f} s. Ctrl-C stops it.",
            f"Ready: {url}",
            "  Speak:   open the page, choose a microphone and start; open it twice to watch.",
            f"  Stream:  .venv/bin/python -m client stream FILE --url {url}",
            f"  Upload:  {sourced} && .venv/bin/python -m client upload FILE",
            f"  AWS:     at {endpoint}; what is in it is named in {emulator.outputs}",
            "           A queue's URL there is its name only; boto3 sends to the address above.",
        ):
            print_line(line)

    @property
    def has_service(self) -> bool:
        """Whether the service was started, so that finals may have to reach the queue."""
        return any(isinstance(part, ServicePart) for part in self._parts)

    @property
    def saved(self) -> bool:
        """Whether the emulator has saved everything."""
        return self._emulator is None or self._emulator.saved

    def kill(self) -> None:
        """End every process at once."""
        for part in self._parts:
            part.kill()


def _print_accounts(accounts: Accounts, endpoint: str, url: str) -> None:
    width = max(len(person.email) for person in accounts.people)
    for number, person in enumerate(accounts.people):
        title = "  Sign in: " if not number else " " * 11
        what = "administrator" if person.is_administrator else "member"
        print_line(f"{title}{person.email:{width}}  {person.password}  ({what})")
    print_line(f"           These passwords are kept in {_relative(accounts.file)}.")
    client = ".venv/bin/python -m client"
    print_line(f"           A recording of one's own: {client} login --url {url}, then, in a shell")
    print_line(f"           without these settings, {client} upload FILE --url {url}")
    print_line(f"           Nobody sends invitations: {endpoint}{MAIL} has them.")


async def _show_errors(name: str, log: Path) -> None:
    """Print the errors in the log of the part `name`, until cancelled."""
    await logs.watch(log, lambda text: print_line(f"{name}: {text}"))


async def _watch_disk(folder: Path) -> None:
    """Print a warning each time that the disk becomes full, until cancelled."""
    is_full = False
    while True:
        try:
            check_disk(shutil.disk_usage(folder).free, DISK_TO_GO_ON, folder)
        except LaunchError as problem:
            if not is_full:
                print_line(f"{problem} Make room: soon nothing more will be kept.")
            is_full = True
        else:
            is_full = False
        await asyncio.sleep(DISK_SECONDS)


async def _first_failure(*endless: Coroutine[object, object, None]) -> None:
    """Run all until one raises; cancel the others and raise its exception."""
    tasks = [asyncio.create_task(coroutine) for coroutine in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancel(*tasks)


async def _start_and_keep(part: DemoPart) -> None:
    await part.start()
    await keep_running(part, print_line)


async def _stop(*parts: DemoPart) -> None:
    """Stop parts at the same time."""
    await asyncio.gather(*(part.stop() for part in parts))


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _edge(service: str, accounts: EdgeAccounts | None) -> AsyncIterator[web.AppRunner]:
    runner = server.runner(
        server.application(dist=DIST, service=service, accounts=accounts),
        shutdown_timeout=EDGE_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def run(environment: Mapping[str, str]) -> int:
    """Run the demo until SIGINT, SIGTERM or SIGHUP; return the exit code."""
    try:
        plan = validate(environment, find_account)
    except InvalidSettings as error:
        print_line(str(error))
        return EXIT_USAGE
    demo = Demo(folder=data_folder(environment), port=chosen_port(environment), plan=plan)
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(demo.run())
    requested = 0.0

    def stop() -> None:
        nonlocal requested
        if not running.cancelling():
            requested = loop.time()
            doing = ": the service hands its last words to the queue" * demo.has_service
            print_line(f"\nStopping{doing}. Ctrl-C again forces it.")
            running.cancel()
        elif loop.time() - requested > SAME_REQUEST_SECONDS:
            demo.kill()
            print_line("Forced to stop.")
            os._exit(EXIT_FORCED)  # whatever still waits, waits for processes that are gone

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await running
    except asyncio.CancelledError:
        print_line("Stopped. The data are kept." if demo.saved else "Stopped.")
        return 0
    except InvalidSettings as error:
        print_line(str(error))
        return EXIT_USAGE
    except (LaunchError, PartFailed) as error:
        print_line(str(error))
    except OSError as error:  # the disk is full, or a file may not be written
        print_line(f"The demo cannot go on. {describe_os_error(error)}")
    return EXIT_FAILURE


def launch(environment: Mapping[str, str]) -> int:
    """Run the demo to its end; return the exit code."""
    return asyncio.run(run(environment))
