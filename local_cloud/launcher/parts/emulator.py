"""The emulator of AWS as a part of the demo."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.emulator.process import Emulator, EmulatorError
from local_cloud.emulator.program import Refused, lock
from local_cloud.launcher.parts.part import PartFailed, kill_group
from local_cloud.launcher.ports import remembered_port
from local_cloud.stacks import deployment
from local_cloud.stacks.deployment import StackOutputs

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: The longest wait for the emulator of a killed launcher, seconds. It takes a last snapshot and
#: ends.
PREDECESSOR_SECONDS: Final = 15.0
#: The longest wait for an empty queue before the emulator is ended, seconds. Remaining messages
#: are kept, but a message in work becomes visible only half a minute later.
SETTLE_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05


class EmulatorPart:
    """The emulator of AWS with the CDK's stacks in it."""

    name = "The AWS emulator"

    def __init__(
        self, folder: Path, show: Callable[[str], None], *, functions: Mapping[str, str]
    ) -> None:
        """Make the part; nothing is started.

        Args:
            folder: where it keeps its data and its port.
            show: prints a line for the user.
            functions: variables that are added to the environments of all functions.
        """
        self._data = data = folder / "aws"
        self._port_file = folder / "aws.port"
        self._show = show
        self._functions = functions
        self._resources: StackOutputs | None = None
        self.cloud = Emulator(data, functions=functions)
        self._pid: int | None = None
        self._port = 0  # not known yet
        self.log = self.cloud.log
        #: Whether every end so far has saved everything.
        self.saved = True

    async def start(self) -> None:
        """Start the emulator, on the port of the last run if that is free.

        The service knows the address, and so does every shell that has read `aws.env`, even in an
        earlier run.

        The stacks are deployed by the first start only. At a restart the service already uses
        them, and changes of the tree since then wait for the next `make demo`.

        Raises:
            PartFailed: it does not start, or the stacks cannot be deployed.
        """
        await self.stop()
        await self._wait_for_predecessor()
        self._port = self._port or remembered_port(self._port_file, self._show)
        self.cloud = Emulator(self._data, port=self._port, functions=self._functions)
        try:
            if self._resources is None:
                self._resources = await deployment.start(self.cloud, self._show)
            else:
                await self.cloud.start()
            self._pid = self.cloud.pid
            self._port = int(self.cloud.endpoint.rpartition(":")[2])
            self._port_file.write_text(f"{self._port}\n")
        except (EmulatorError, BotoCoreError, ClientError) as error:
            raise PartFailed(f"The demo's AWS is not ready: {error}") from error

    async def _wait_for_predecessor(self) -> None:
        """Wait a little while the emulator of a launcher that was killed still saves its state."""
        waited = 0.0
        while (self._data / "lock").exists() and waited < PREDECESSOR_SECONDS:
            with contextlib.suppress(Refused), lock(self._data):
                return
            if not waited:
                self._show("  The one of the last run is still ending; waiting for it ...")
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS

    @property
    def resources(self) -> StackOutputs:
        """The names of the deployed resources."""
        if self._resources is None:
            raise AssertionError("it was started")
        return self._resources

    @property
    def outputs(self) -> Path:
        """The file with the stacks' outputs."""
        return deployment.outputs(self._data)

    async def wait(self) -> int:
        """Wait until the process ends; return its exit code."""
        return await self.cloud.wait()

    async def settle(self) -> None:
        """Wait until the queue of utterances is empty, at most `SETTLE_SECONDS`."""
        with contextlib.suppress(TimeoutError, EmulatorError, BotoCoreError, ClientError):
            sqs = self.cloud.client("sqs")
            async with asyncio.timeout(SETTLE_SECONDS):
                while await asyncio.to_thread(_count_messages, sqs, self.resources.queue_url):  # noqa: ASYNC110 - a queue announces nothing
                    await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """End the emulator after a last snapshot; print a warning if that failed."""
        if await self.cloud.stop():
            self.saved = False
            self._show(f"{self.name} could not save what came last. Its log: {self.log}")
        self.kill()  # also functions that a crash left behind
        self._pid = None

    def kill(self) -> None:
        """Kill the emulator and its functions."""
        if self._pid is not None:
            kill_group(self._pid)


def _count_messages(sqs: SQSClient, queue_url: str) -> int:
    """Return how many messages of a queue are waiting or in work."""
    known = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(int(number) for number in known["Attributes"].values())
