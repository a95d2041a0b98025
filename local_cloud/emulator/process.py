"""The AWS of one machine: starts and stops the emulator, and keeps everybody on it.

RuntimeError
└── EmulatorError           base of all below; messages are for people
    ├── EmulatorMissing     its environment is not installed
    └── EmulatorFailed      it did not start; the message ends with its last words
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import boto3
import botocore.session
from botocore.config import Config

from local_cloud.launcher.account import ignores_endpoints
from local_cloud.logs import readable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
PROGRAM = Path(__file__).with_name("program.py")

REGION = "us-east-1"
ACCOUNT = "000000000000"
#: What the service has in the emulator, as its endpoints' variables call it.
EMULATED = ("DYNAMODB", "SQS")
#: What functions read from their environments, which here have the emulator's below. It comes from
#: the templates and from the launcher; what the user's shell says of it is not for them.
OF_FUNCTIONS = frozenset(
    {
        "AT_SET_TIMES",
        "AUTH_TOKEN",
        "BYTES_PER_SECOND",
        "CLUSTER",
        "GPU_URL",
        "IDLE_MINUTES",
        "JOBS_PER_INSTANCE",
        "JOBS_QUEUE_URL",
        "JOBS_TO_START",
        "LONGEST_WAIT_MINUTES",
        "MAXIMUM_INSTANCES",
        "RECORDINGS_BUCKET",
        "RETENTION_DAYS",
        "SERVER_SPEED",
        "SERVICE",
        "TABLE_NAME",
        "UNDELIVERED_QUEUE_URL",
        "WAKE_QUEUE_URL",
    }
)
#: The emulator checks no signatures; a real account would refuse these.
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 - see above

#: Patience with a start and with an orderly end, seconds. A hung emulator ignores SIGTERM.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

#: Largest part of the emulator's log that an error quotes, bytes.
LAST_WORDS = 2_000


class EmulatorError(RuntimeError):
    """The emulator cannot be used."""


class EmulatorMissing(EmulatorError):
    """The emulator is not installed."""


class EmulatorFailed(EmulatorError):
    """The emulator did not start."""


def environment(endpoint: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` for a child process whose AWS is at `endpoint` and nowhere else.

    Every variable that AWS's SDKs read is dropped: a profile, credentials, an endpoint of a
    single service or a switch that ignores endpoints would lead to a real account. Proxies
    stay, for other addresses, but not for the loopback.
    """
    return (
        _without_aws(base)
        | _without_proxy(base)
        | {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
    )


def shared_environment(endpoint: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` for the service when its queues and tables are at `endpoint`, all else in AWS.

    What the user has set for AWS stays, but for what would lead queues and tables elsewhere: the
    variables below come before anything in a profile. The region is the emulator's, for its
    data are kept by region; those of other services have settings of their own.

    The emulator sees the user's access key and session token with each call, as both are part of
    a signature, but never the secret.
    """
    kept = {name: value for name, value in base.items() if value or not name.startswith("AWS_")}
    if ignores_endpoints(base):  # below, nothing is ignored any more
        kept = {n: value for n, value in kept.items() if not n.startswith("AWS_ENDPOINT_URL")}
    return (
        kept
        | _without_proxy(base)
        | {f"AWS_ENDPOINT_URL_{service}": endpoint for service in EMULATED}
        | {
            "AWS_DEFAULT_REGION": REGION,
            # Said, and not only left out, for a profile may have it as well.
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": REGION,
        }
    )


def _without_aws(base: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in base.items() if not name.startswith("AWS_")}


def _of_emulator(base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` without the user's credentials, and without what its functions would read."""
    return {
        name: value
        for name, value in _without_aws(base).items()
        if name not in OF_FUNCTIONS and not name.startswith("POWERTOOLS_")
    }


def _without_proxy(base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep the loopback off proxies."""
    return {
        name: ",".join(filter(None, (base.get(name), "127.0.0.1", "localhost")))
        for name in ("NO_PROXY", "no_proxy")
    }


def session() -> boto3.Session:
    """Return a session that knows the emulator's credentials and nothing of the user's."""
    unset = (None, None, None, None)  # neither from a file nor from the environment
    core = botocore.session.Session(
        session_vars={
            "ca_bundle": unset,
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "profile": unset,
        }
    )
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=REGION,
        botocore_session=core,
    )


class Emulator:
    """The emulator's process. An async context manager; entering starts it.

    It dies with this process, however this one dies, because it watches a pipe from it. It
    runs in a session of its own, so that Ctrl-C at the terminal does not end it before those
    who still have something to store.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        functions: Mapping[str, str] | None = None,
        python: Path = PYTHON,
    ) -> None:
        """Keep its data in `data`; `functions` is what the functions' environments have besides."""
        self._data = data
        self._port = port
        self._functions = dict(functions or {})
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self._endpoint: str | None = None
        self._session = session()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def endpoint(self) -> str:
        """Where it serves, e.g. `http://127.0.0.1:40123`."""
        if self._endpoint is None:
            raise EmulatorError("the emulator was not started")
        return self._endpoint

    @property
    def pid(self) -> int:
        """The process's id, which is also that of its process group."""
        if self._process is None:
            raise EmulatorError("the emulator was not started")
        return self._process.pid

    @property
    def data(self) -> Path:
        """The folder that keeps its data."""
        return self._data

    @property
    def log(self) -> Path:
        """The file that keeps what it said since its start."""
        return self._data / "emulator.log"

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            EmulatorMissing: its environment is not there.
            EmulatorFailed: it ended, or did not serve in time.
        """
        if not self._python.exists():
            raise EmulatorMissing(
                f"the emulator's environment {self._python.parent.parent} is missing; "
                "`make emulator` makes it"
            )
        self._data.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._python,
                "-P",  # or this folder's modules would hide installed ones
                PROGRAM,
                "--watch-stdin",
                f"--data={self._data}",
                f"--port={self._port}",
                env=_of_emulator(os.environ) | self._functions,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._endpoint = await self._announcement(self._process)
        except BaseException:
            await self.stop()
            raise

    async def _announcement(self, process: asyncio.subprocess.Process) -> str:
        """Return the address that the emulator prints when it serves."""
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        try:
            async with asyncio.timeout(START_TIMEOUT):
                line = await process.stdout.readline()
        except TimeoutError:
            raise EmulatorFailed(
                f"the emulator did not serve within {START_TIMEOUT:g} seconds{self._last_words()}"
            ) from None
        if not line.startswith(b"Serving "):
            raise EmulatorFailed(f"the emulator ended at once{self._last_words()}")
        return line.decode().split()[1]

    def _last_words(self) -> str:
        words = readable(self.log.read_bytes()[-LAST_WORDS:]).strip()
        return f":\n{words}" if words else " and said nothing"

    async def wait(self) -> int:
        """Wait until the process ends, whoever ends it; return its exit code."""
        if self._process is None:
            raise EmulatorError("the emulator was not started")
        return await self._process.wait()

    async def stop(self) -> int:
        """End the process in order, or after `STOP_TIMEOUT` by force; return its exit code.

        Anything but 0 means that it has not saved what came last. May be called twice, and where
        it had ended before there is nothing to say: 0.
        """
        process, self._process = self._process, None
        if process is None:
            return 0
        had_ended = process.returncode is not None
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return 0 if had_ended else await process.wait()

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the whole environment of a child process that uses this emulator."""
        return environment(self.endpoint, base)

    def shared_environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the same of one that uses the user's AWS beside it; see `shared_environment`."""
        return shared_environment(self.endpoint, base)

    @overload
    def client(self, service: Literal["sqs"]) -> SQSClient: ...
    @overload
    def client(self, service: Literal["dynamodb"]) -> DynamoDBClient: ...
    @overload
    def client(self, service: Literal["lambda"]) -> LambdaClient: ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: Any) -> Any:
        """Return a client of the emulator, whatever the user's shell says about AWS."""
        return self._session.client(
            service,
            endpoint_url=self.endpoint,
            config=Config(
                proxies={},
                connect_timeout=2,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )
