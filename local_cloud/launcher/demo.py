"""`make demo`: starts everything on this machine, keeps it running, and ends it in order.

Starting goes from the data to the door: the emulator with the CDK's stacks in it, the service,
then the edge, which is part of this process. Ending goes the other way, so that the service
can still hand its finals to the queue.

Nobody waits for the transcriber: it is started when all else runs, and recordings that come before
are queued. Its address and the secret that its callers know are the functions' before that.
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
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path

from aiohttp import web

from local_cloud import logs
from local_cloud.edge import server
from local_cloud.errors import LaunchError
from local_cloud.launcher import account
from local_cloud.launcher.choices import Plan
from local_cloud.launcher.disk import DISK_TO_GO_ON, DISK_TO_START, check_disk, describe_os_error
from local_cloud.launcher.parts import (
    EmulatorPart,
    Part,
    PartFailed,
    ServicePart,
    TranscribePart,
    TranscriberPart,
    keep_running,
)
from local_cloud.launcher.places import HOST, ROOT, Places, free_port, only_copy, take_port
from local_cloud.launcher.terminal import print_line
from local_cloud.launcher.validation import WrongSettings, examine
from local_cloud.preflight import EXIT_FAILURE, EXIT_USAGE

DIST = ROOT / "frontend" / "dist"
#: A signal that follows another within this time is the same wish, seconds: `timeout` and
#: `make` pass signals on that the terminal sends as well.
SAME_WISH_SECONDS = 0.5
#: Open connections get this long to end when the edge is taken down, seconds.
FAREWELL_SECONDS = 1.0

#: How often the disk is looked at, seconds.
DISK_SECONDS = 5.0

EXIT_FORCED = 130


@contextlib.contextmanager
def shell_settings(
    folder: Path, aws: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[Path]:
    """Keep a file for a shell to read that is to use this demo; yield its path.

    Args:
        folder: where the demo's data are.
        aws: the environment of a process that uses it; of this, what is about AWS and proxies.
        names: what else the client's commands are to find, by their environment variables.
    """
    path = folder / "aws.env"
    told = {
        name: value
        for name, value in aws.items()
        if name.startswith("AWS_") or name.lower() == "no_proxy"
    } | dict(names)
    lines = [
        "# The demo's AWS, for a shell: until it is closed, AWS is there and nowhere else.",
        "for name in $(env | sed -n 's/^\\(AWS_[A-Z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(told.items())),
    ]
    fresh = path.with_name("aws.env.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{line}\n" for line in lines))
    fresh.replace(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _from_here(path: Path) -> str:
    """Return a path as people write it where the demo is started."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Demo:
    """One run, from the checks to the end."""

    def __init__(self, places: Places, plan: Plan) -> None:
        self._places = places
        self._plan = plan
        self._parts: list[Part] = []
        self._emulator: EmulatorPart | None = None
        self._began = time.monotonic()

    async def run(self) -> None:
        """Run until cancelled; being cancelled ends everything in order.

        Raises:
            LaunchError: a check of the machine failed.
            PartFailed: a part does not start or stay up.
        """
        folder = self._places.folder
        with only_copy(folder) as lock, take_port(self._places.port) as listener:
            check_disk(shutil.disk_usage(folder).free, DISK_TO_START, folder)
            if not (DIST / "index.html").exists():
                raise LaunchError("The web page is not built. `make demo` builds it.")
            server.small_buffers(listener)
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            lock.write_text(json.dumps({"pid": os.getpid(), "url": url}))
            async with contextlib.AsyncExitStack() as stack:
                await self._serve(stack, listener, url)

    async def _serve(
        self, stack: contextlib.AsyncExitStack, listener: socket.socket, url: str
    ) -> None:
        folder, plan = self._places.folder, self._plan
        for line in plan.said:
            print_line(line)
        transcriber = TranscriberPart(
            log=folder / "logs" / "transcriber.log",
            work=folder / "transcriber",
            port=free_port(),
            token=secrets.token_urlsafe(32),
        )
        logs.put_aside(transcriber.log)
        emulator = EmulatorPart(folder, print_line, functions=transcriber.functions)
        self._emulator = emulator
        await self._start(stack, emulator, "AWS emulator")
        stack.push_async_callback(emulator.settle)

        transcriber.configure(emulator.environment(), emulator.resources)
        names = {
            "CLOUDSCRIBE_URL": url,
            "CONVERSATIONS_TABLE": emulator.resources.table_name,
            "RECORDINGS_BUCKET": emulator.resources.recordings_bucket,
        }
        calls_port = free_port()
        if plan.local_transcribe:
            names["AWS_ENDPOINT_URL_TRANSCRIBE"] = f"http://{HOST}:{calls_port}"
        shell = stack.enter_context(shell_settings(folder, emulator.environment(), names))

        parts: list[Part] = [emulator]
        found = emulator.shared_environment() if plan.own_account else emulator.environment()
        settings = {**found, **plan.settings}
        if plan.local_transcribe:
            log = folder / "logs" / "transcribe.log"
            logs.put_aside(log)
            transcribe = TranscribePart(
                log=log,
                port=free_port(),
                calls_port=calls_port,
                environment=emulator.environment(),
            )
            await self._start(stack, transcribe, "local Amazon Transcribe")
            settings["TRANSCRIBE_ENDPOINT"] = transcribe.url
            parts.append(transcribe)

        log = folder / "logs" / "service.log"
        logs.put_aside(log)
        service = ServicePart(
            log=log,
            port=free_port(),
            environment={
                **settings,
                "QUEUE_URL": emulator.resources.queue_url,
                "TABLE_NAME": emulator.resources.table_name,
                "OUTBOX_PATH": str(folder / "outbox.db"),
            },
        )
        runner = await stack.enter_async_context(_edge(service.url))
        watching = [
            asyncio.create_task(logs.watch(log, lambda text: print_line(f"service: {text}"))),
            asyncio.create_task(
                logs.watch(transcriber.log, lambda text: print_line(f"transcriber: {text}"))
            ),
        ]
        watching.append(asyncio.create_task(_watch_disk(folder)))
        stack.push_async_callback(_end, *watching)
        parts.append(service)
        await self._start(stack, service, f"service with the engine {plan.engine}")
        self._parts.append(transcriber)
        stack.push_async_callback(_stop, service, transcriber)

        stack.callback((await server.listen(runner, listener)).close)
        self._print_ready(url, emulator, shell)
        await _first_failure(
            *(keep_running(part, print_line) for part in parts), _start_and_keep(transcriber)
        )

    async def _start(self, stack: contextlib.AsyncExitStack, part: Part, title: str) -> None:
        print_line(f"Starting the {title} ...")
        self._parts.append(part)
        stack.push_async_callback(part.stop)
        await part.start()

    def _print_ready(self, url: str, emulator: EmulatorPart, shell: Path) -> None:
        seconds = time.monotonic() - self._began
        sourced = f". {shlex.quote(_from_here(shell))}"
        for line in (
            f"Everything runs after {seconds:.1f} s. Ctrl-C stops it.",
            f"Ready: {url}",
            "  Speak:   open the page, choose a microphone and start; open it twice to watch.",
            f"  Stream:  .venv/bin/python -m client stream FILE --url {url}",
            f"  Upload:  {sourced} && .venv/bin/python -m client upload FILE",
            f"  AWS:     at {emulator.url}; what is in it is named in {emulator.outputs}",
            "           A queue's URL there is its name only; boto3 sends to the address above.",
        ):
            print_line(line)

    @property
    def saved(self) -> bool:
        """Whether everything was saved."""
        return self._emulator is None or self._emulator.saved

    def kill(self) -> None:
        """End every process at once."""
        for part in self._parts:
            part.kill()


async def _watch_disk(folder: Path) -> None:
    """Say it when the disk gets full, each time that it does."""
    said = False
    while True:
        try:
            check_disk(shutil.disk_usage(folder).free, DISK_TO_GO_ON, folder)
        except LaunchError as problem:
            if not said:
                print_line(f"{problem} Make room: soon nothing more will be kept.")
            said = True
        else:
            said = False
        await asyncio.sleep(DISK_SECONDS)


async def _first_failure(*endless: Coroutine[object, object, None]) -> None:
    """Run all until one raises; cancel the others and raise its exception."""
    tasks = [asyncio.create_task(coroutine) for coroutine in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(*tasks)


async def _start_and_keep(part: Part) -> None:
    await part.start()
    await keep_running(part, print_line)


async def _stop(*parts: Part) -> None:
    """Stop parts at the same time."""
    await asyncio.gather(*(part.stop() for part in parts))


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _edge(service: str) -> AsyncIterator[web.AppRunner]:
    runner = server.runner(
        server.application(dist=DIST, service=service), shutdown_timeout=FAREWELL_SECONDS
    )
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def run(environment: Mapping[str, str]) -> int:
    """Run the demo until SIGINT, SIGTERM or SIGHUP; return the exit code."""
    try:
        plan = examine(environment, account.look)
    except WrongSettings as error:
        print_line(str(error))
        return EXIT_USAGE
    demo = Demo(Places.parse(environment), plan)
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(demo.run())
    asked = 0.0

    def stop() -> None:
        nonlocal asked
        if not running.cancelling():
            asked = loop.time()
            print_line(
                "\nStopping: the service hands its last words to the queue. Ctrl-C again forces it."
            )
            running.cancel()
        elif loop.time() - asked > SAME_WISH_SECONDS:
            demo.kill()
            print_line("Forced to stop.")
            os._exit(EXIT_FORCED)  # whatever still waits, waits for what is gone now

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await running
    except asyncio.CancelledError:
        print_line("Stopped. The data are kept." if demo.saved else "Stopped.")
        return 0
    except (LaunchError, PartFailed) as error:
        print_line(str(error))
    except OSError as error:  # the disk is full, or a file is somebody else's
        print_line(f"The demo cannot go on. {describe_os_error(error)}")
    return EXIT_FAILURE


def launch(environment: Mapping[str, str]) -> int:
    """Run the demo to its end; return the exit code."""
    return asyncio.run(run(environment))
