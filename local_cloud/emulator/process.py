"""The emulator's process: how it is started and stopped, and clients for it.

RuntimeError
└── EmulatorError           base of all below; messages are for people
    ├── EmulatorMissing     its virtual environment is not installed
    └── EmulatorFailed      it did not start; the message ends with the end of its log
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

import boto3
import botocore.session
from botocore.config import Config

from local_cloud import ROOT
from local_cloud.emulator.environment import (
    ACCESS_KEY_ID,
    REGION,
    SECRET_ACCESS_KEY,
    emulator_environment,
    isolated_environment,
    shared_environment,
)
from local_cloud.logs import decode

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

PYTHON: Final = ROOT / ".venv-emulator" / "bin" / "python"
PROGRAM: Final = Path(__file__).with_name("program.py")

#: Limits for a start and for an orderly end, seconds. A hung emulator ignores SIGTERM.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

#: Largest part of the emulator's log that an error quotes, bytes.
QUOTED_BYTES: Final = 2_000


class EmulatorError(RuntimeError):
    """The emulator cannot be used."""


class EmulatorMissing(EmulatorError):
    """The emulator is not installed."""


class EmulatorFailed(EmulatorError):
    """The emulator did not start."""


def session() -> boto3.Session:
    """Return a session with the emulator's credentials that reads nothing of the user's."""
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

    It ends with this process, however this one ends, because it watches a pipe from it. It
    runs in a session of its own, so that Ctrl-C at the terminal does not end it before the
    processes that still have something to store.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        functions: Mapping[str, str] | None = None,
        python: Path = PYTHON,
    ) -> None:
        """Make an emulator; nothing is started.

        Args:
            data: the folder that keeps its data.
            port: where it serves; 0 takes a free port.
            functions: variables that are added to the environments of all functions.
            python: the interpreter that runs it.
        """
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
        """The URL of the emulator, e.g. `http://127.0.0.1:40123`."""
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
        """The log of the current run."""
        return self._data / "emulator.log"

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            EmulatorMissing: its virtual environment is not there.
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
                env=emulator_environment(os.environ) | self._functions,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._endpoint = await self._read_address(self._process)
        except BaseException:
            await self.stop()
            raise

    async def _read_address(self, process: asyncio.subprocess.Process) -> str:
        """Return the address that the emulator prints when it serves."""
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        try:
            async with asyncio.timeout(START_TIMEOUT):
                line = await process.stdout.readline()
        except TimeoutError:
            raise EmulatorFailed(
                f"the emulator did not serve within {START_TIMEOUT:g} seconds{self._quote_log()}"
            ) from None
        if not line.startswith(b"Serving "):
            raise EmulatorFailed(f"the emulator ended at once{self._quote_log()}")
        return line.decode().split()[1]

    def _quote_log(self) -> str:
        text = decode(self.log.read_bytes()[-QUOTED_BYTES:]).strip()
        return f":\n{text}" if text else " and its log is empty"

    async def wait(self) -> int:
        """Wait until the process ends, for whatever reason; return its exit code."""
        if self._process is None:
            raise EmulatorError("the emulator was not started")
        return await self._process.wait()

    async def stop(self) -> int:
        """End the process gracefully, or after `STOP_TIMEOUT` by force; return its exit code.

        A code other than 0 means that the last changes were not saved. May be called twice. The
        result is 0 where the process had ended before the call.
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
        """Return the whole environment of a child process that uses this emulator alone."""
        return isolated_environment(self.endpoint, base)

    def shared_environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment of a process that uses the user's AWS beside this emulator."""
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
