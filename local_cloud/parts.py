"""The processes of the demo, and what keeps them running.

PartFailed      a part does not start, or does not stay up; the message is for people
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from foundation.backoff import backoff
from local_cloud import deployment, logs
from local_cloud.aws import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Emulator, EmulatorError
from local_cloud.deployment import Resources
from local_cloud.edge import VIEWER_HEADER
from local_cloud.emulator import Refused, lock
from local_cloud.places import remembered_port

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parent.parent
#: HTTP's answer of who cannot work yet.
UNAVAILABLE = 503

#: Patience with the service's start: the embedded engine loads its model in every worker, seconds.
START_SECONDS = 60.0
POLL_SECONDS = 0.05
#: What the service gets to end streams and hand finals to the queue, seconds.
DRAIN_SECONDS = 10.0
#: What it gets on top for closing connections and its engine, before it is killed, seconds.
GRACE_SECONDS = 8.0

#: Patience with the emulator of a launcher that was killed, seconds. It saves once more and ends.
WAIT_SECONDS = 15.0
#: How long the queue gets to become empty before the emulator is ended, seconds. What is still
#: in it is kept, but a message that was being worked on comes back only half a minute later.
SETTLE_SECONDS = 5.0

#: What the server for recordings gets to finish a recording before it gives it back, seconds.
FINISH_SECONDS = 3.0
#: How long one look of it into the queue lasts, seconds. It cannot end within one.
LOOK_SECONDS = 2
#: How soon a job of a server that was killed is another's, seconds.
JOB_SECONDS = 15
#: Seconds of speech that the embedded engine transcribes in one; on two shared cores it did 4.5.
EMBEDDED_SPEED = 4.0
#: Settings of the server for recordings (`python -m gpu_server --help`) that are not the user's to
#: make here: they are the demo's, or have the name of something else, as `SLOTS`, which is the
#: service's.
NOT_OF_TRANSCRIBER = frozenset(
    {
        "AUTH_TOKEN",
        "AUTH_TOKEN_FILE",
        "CONNECTION_LIMIT",
        "ECS_AGENT_URI",
        "HOST",
        "IDLE_EXIT_SECONDS",
        "MAX_SECONDS",
        "MAX_UPLOAD_BYTES",
        "POLL_SECONDS",
        "PORT",
        "QUEUE_LIMIT",
        "QUEUE_URL",
        "RECORDINGS_BUCKET",
        "REQUEST_SECONDS",
        "SLOTS",
        "SPOT_NOTICE",
        "STALL_SECONDS",
        "START_SECONDS",
        "STOP_SECONDS",
        "TRANSFER_BYTES",
        "TRANSFER_LIMIT",
        "TRANSFER_RATE",
        "TRANSFER_SECONDS",
        "UPLOAD_SECONDS",
        "VISIBILITY_SECONDS",
        "WORK_DIR",
    }
)

#: A part that dies within this time after its start has died quickly, seconds.
QUICK_SECONDS = 10.0
#: So many quick deaths in a row are enough.
MAX_QUICK_DEATHS = 5


class PartFailed(Exception):
    """A part cannot be kept running."""


class Part(Protocol):
    """A process that can be started again."""

    name: str
    log: Path

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            PartFailed: it does not.
        """

    async def wait(self) -> int:
        """Wait for its end; return its exit code."""

    async def stop(self) -> None:
        """End it in order, or by force after a while. May be called twice."""

    def kill(self) -> None:
        """End it, and all that it has started, at once."""


def restart_delay(quick_deaths: int) -> float:
    """Return the seconds to wait before the next start: 0.5, 1, 2, 4."""
    return backoff(max(1, quick_deaths), first=0.5, jitter=0)


def describe_exit(status: int) -> str:
    """Return an exit code in words."""
    number = -status if status < 0 else status - 128
    if status < 0 or status > 128:  # noqa: PLR2004 - the shell's way to tell of signals
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return f"ended with status {status}"


async def keep_running(part: Part, tell: Callable[[str], None]) -> NoReturn:
    """Start a part again whenever it ends.

    Raises:
        PartFailed: it died too often too quickly; the message ends with its log's last lines.
    """
    quick_deaths = 0
    reason = ""
    while True:
        began = time.monotonic()
        if not reason:
            reason = describe_exit(await part.wait())
        quick_deaths = quick_deaths + 1 if time.monotonic() - began < QUICK_SECONDS else 1
        if quick_deaths > MAX_QUICK_DEATHS:
            raise PartFailed(f"{part.name} {reason}, time and again.{_last_words(part.log)}")
        delay = restart_delay(quick_deaths)
        tell(f"{part.name} {reason}; it is started again in {delay:g} s")
        await asyncio.sleep(delay)
        try:
            await part.start()
        except PartFailed:
            reason = "did not start"
        else:
            reason = ""
            tell(f"{part.name} runs again")


def _last_words(log: Path) -> str:
    lines = "".join(f"\n    {line}" for line in logs.last_lines(log))
    return f" The end of {log}:{lines}" if lines else ""


def _kill_group(pid: int) -> None:
    """Kill every process of the group that `pid` leads; each part leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _messages(sqs: SQSClient, queue_url: str) -> int:
    """Return how many messages wait in a queue or are being worked on."""
    known = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(int(number) for number in known["Attributes"].values())


class EmulatorPart:
    """The embedded AWS with the CDK's stacks in it."""

    name = "The AWS emulator"

    def __init__(
        self, folder: Path, tell: Callable[[str], None], *, functions: Mapping[str, str]
    ) -> None:
        """Keep its data and its port in `folder`; `functions` is what functions know besides."""
        self._data = data = folder / "aws"
        self._port_file = folder / "aws.port"
        self._tell = tell
        self._functions = functions
        self._resources: Resources | None = None
        self._emulator = Emulator(data, functions=functions)
        self._pid: int | None = None
        self._port = 0  # not known yet
        self.log = self._emulator.log
        #: Whether it has saved everything whenever it was ended.
        self.saved = True

    async def start(self) -> None:
        """Start it, where it was before if there was a before.

        The service knows the address, and so does every shell that has read `aws.env`, also one
        from before the demo was started again.

        Stacks are deployed the first time only. Later the service is at work on them, and what
        somebody has changed in the tree since then waits for the next `make demo`.

        Raises:
            PartFailed: it does not start, or the stacks cannot be deployed.
        """
        await self.stop()
        await self._until_the_last_has_ended()
        self._port = self._port or remembered_port(self._port_file, self._tell)
        self._emulator = Emulator(self._data, port=self._port, functions=self._functions)
        try:
            if self._resources is None:
                self._resources = await deployment.start(self._emulator, self._tell)
            else:
                await self._emulator.start()
            self._pid = self._emulator.pid
            self._port = int(self._emulator.endpoint.rpartition(":")[2])
            self._port_file.write_text(f"{self._port}\n")
        except (EmulatorError, BotoCoreError, ClientError) as error:
            raise PartFailed(f"The demo's AWS is not ready: {error}") from error

    async def _until_the_last_has_ended(self) -> None:
        """Wait a little for an emulator that still saves what a launcher that was killed left."""
        waited = 0.0
        while (self._data / "lock").exists() and waited < WAIT_SECONDS:
            with contextlib.suppress(Refused), lock(self._data):
                return
            if not waited:
                self._tell("  The one of the last run is still ending; waiting for it ...")
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS

    @property
    def resources(self) -> Resources:
        """What is deployed in it."""
        if self._resources is None:
            raise AssertionError("it was started")
        return self._resources

    @property
    def url(self) -> str:
        """Where it serves."""
        return self._emulator.endpoint

    @property
    def outputs(self) -> Path:
        """The file that names what is deployed in it."""
        return deployment.outputs(self._data)

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._emulator.wait()

    async def settle(self) -> None:
        """Wait until the function has worked off the queue, but not for long."""
        with contextlib.suppress(TimeoutError, EmulatorError, BotoCoreError, ClientError):
            sqs = self._emulator.client("sqs")
            async with asyncio.timeout(SETTLE_SECONDS):
                while await asyncio.to_thread(_messages, sqs, self.resources.queue_url):  # noqa: ASYNC110 - a queue announces nothing
                    await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """End it with everything saved, or say that it was not."""
        if await self._emulator.stop():
            self.saved = False
            self._tell(f"{self.name} could not save what came last. Its log: {self.log}")
        self.kill()  # also functions that a crash left behind
        self._pid = None

    def kill(self) -> None:
        """End it and its functions at once."""
        if self._pid is not None:
            _kill_group(self._pid)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that is to use it."""
        return self._emulator.environment()

    def shared_environment(self) -> dict[str, str]:
        """Return that of one which has queues and tables in it, and all else in the user's AWS."""
        return self._emulator.shared_environment()


class GuardedPart:
    """A program of ours that dies with the launcher, however that dies."""

    name: str

    def __init__(self, *, log: Path, patience: float) -> None:
        """Keep what it says in `log`; it has `patience` seconds to end in order."""
        self.log = log
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None

    async def _spawn(
        self, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        """Start `python -m MODULE`, after what may be left of it has ended."""
        await self.stop()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local_cloud.guard", f"{self._patience:g}"),
                *(sys.executable, "-m", module, *arguments),
                cwd=ROOT,
                env=dict(environment),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is the launcher's to handle
            )
        return self._process

    async def _until_answered(
        self, process: asyncio.subprocess.Process, url: str, *, loading: bool = False
    ) -> None:
        """Wait until it says that it is ready, or is `loading` where that is enough.

        Raises:
            PartFailed: it ended, or was not ready in time.
        """
        ended = asyncio.create_task(process.wait())
        try:
            async with (
                asyncio.timeout(START_SECONDS),
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as client,
            ):
                while not ended.done():
                    with contextlib.suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                        async with client.get(url) as answer:
                            if answer.ok or (loading and answer.status == UNAVAILABLE):
                                return
                    await asyncio.wait({ended}, timeout=POLL_SECONDS)
        except TimeoutError:
            raise PartFailed(
                f"{self.name} was not ready after {START_SECONDS:g} s.{_last_words(self.log)}"
            ) from None
        finally:
            ended.cancel()
        raise PartFailed(
            f"{self.name} {describe_exit(process.returncode or 0)}.{_last_words(self.log)}"
        )

    async def wait(self) -> int:
        """Wait for its end."""
        if self._process is None:
            raise AssertionError("it was started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Let it finish what it has begun, then end it. May be called twice."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await process.wait()
        self.kill()  # also workers that a crash left behind
        await process.wait()
        self._process = None

    def kill(self) -> None:
        """End it and its workers at once."""
        if self._process is not None:
            _kill_group(self._process.pid)


def service_environment(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the whole environment of a service that listens on a port of this machine."""
    return {
        **environment,
        "DRAIN_SECONDS": environment.get("DRAIN_SECONDS") or f"{DRAIN_SECONDS:g}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "VIEWER_ADDRESS_HEADER": VIEWER_HEADER,
        "EDGE_SECRET": "",  # the local edge sends none
    }


class ServicePart(GuardedPart):
    """The WebSocket service, as in the cloud but for its settings."""

    name = "The service"

    def __init__(self, *, log: Path, port: int, environment: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = service_environment(environment, port)
        patience = float(self._environment["DRAIN_SECONDS"]) + GRACE_SECONDS
        super().__init__(log=log, patience=patience)

    async def start(self) -> None:
        """Start it and wait until it takes streams.

        Raises:
            PartFailed: it ended, or was not ready in time.
        """
        process = await self._spawn("ecs_service", environment=self._environment)
        try:
            await self._until_answered(process, f"{self.url}/api/stt/ready")
        except BaseException:
            await self.stop()
            raise


class TranscribePart(GuardedPart):
    """The local Amazon Transcribe, with the embedded engine behind it."""

    name = "The local Amazon Transcribe"

    def __init__(
        self, *, log: Path, port: int, calls_port: int, environment: Mapping[str, str]
    ) -> None:
        """Make it; `calls_port` takes calls about vocabularies, whose files are in the emulator."""
        super().__init__(log=log, patience=GRACE_SECONDS)
        #: What the service is told in place of the region's address.
        self.url = f"ws://127.0.0.1:{port}"
        self._port = port
        self._calls_port = calls_port
        self._environment = environment

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            PartFailed: it ended, or did not serve in time.
        """
        process = await self._spawn(
            "local_cloud.transcribe",
            # Without TLS, for nobody else can listen on the loopback address.
            *("--no-tls", "--port", str(self._port), "--engine", "pocketsphinx"),
            *("--http2-port", str(self._calls_port)),
            *("--s3-endpoint", self._environment["AWS_ENDPOINT_URL"]),
            *("--key", f"{ACCESS_KEY_ID}:{SECRET_ACCESS_KEY}"),
            environment=self._environment,
        )
        try:
            await self._until_it_listens(process)
        except BaseException:
            await self.stop()
            raise

    async def _until_it_listens(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while process.returncode is None:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                        writer.close()
                        return
                    await asyncio.sleep(POLL_SECONDS)
        how = (
            f"did not serve within {START_SECONDS:g} s"
            if process.returncode is None
            else describe_exit(process.returncode)
        )
        raise PartFailed(f"{self.name} {how}.{_last_words(self.log)}")


class TranscriberPart(GuardedPart):
    """The server for recordings, which also works off the queue of jobs.

    It is running when it listens. The model is loaded after that, and meanwhile recordings are
    queued, as they are while it is away.
    """

    name = "The transcriber"

    def __init__(
        self,
        *,
        log: Path,
        work: Path,
        port: int,
        token: str,
        module: str = "gpu_server",
        job_seconds: int = JOB_SECONDS,
    ) -> None:
        """Have it keep recordings in `work` while it has them; who calls it knows `token`.

        `module` is what is run, and tests have their own; `job_seconds` is how soon a job is
        another's when it was killed.
        """
        super().__init__(log=log, patience=FINISH_SECONDS + LOOK_SECONDS + GRACE_SECONDS)
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._token = token
        self._work = work
        self._module = module
        self._job_seconds = job_seconds
        #: All of its environment, once it is configured.
        self.environment: dict[str, str] = {}

    @property
    def functions(self) -> dict[str, str]:
        """What functions have to know of it."""
        return {
            "AUTH_TOKEN": self._token,
            "GPU_URL": self.url,
            "SERVER_SPEED": f"{EMBEDDED_SPEED:g}",
        }

    def configure(self, environment: Mapping[str, str], resources: Resources) -> None:
        """Take the settings, which are known once the emulator runs."""
        kept = {n: value for n, value in environment.items() if n not in NOT_OF_TRANSCRIBER}
        self.environment = kept | {
            "AUTH_TOKEN": self._token,
            "HOST": "127.0.0.1",
            "POLL_SECONDS": str(LOOK_SECONDS),
            "PORT": str(self._port),
            "QUEUE_URL": resources.jobs_queue_url,
            "RECORDINGS_BUCKET": resources.recordings_bucket,
            "STOP_SECONDS": f"{FINISH_SECONDS:g}",
            "VISIBILITY_SECONDS": str(self._job_seconds),
            "WORK_DIR": str(self._work),
        }

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            PartFailed: it ended, or did not listen in time.
        """
        await self.stop()
        shutil.rmtree(self._work, ignore_errors=True)  # what a kill has left behind
        self._work.mkdir(parents=True)
        process = await self._spawn(self._module, environment=self.environment)
        try:
            await self._until_answered(process, f"{self.url}/health", loading=True)
        except BaseException:
            await self.stop()
            raise
