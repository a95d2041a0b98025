"""The AWS of one machine for integration tests, with the CDK's stacks in it."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, overload

from local_cloud import ROOT
from local_cloud.emulator.process import Emulator
from local_cloud.stacks.deployment import StackOutputs, start
from local_cloud.stacks.fingerprint import fingerprint
from local_cloud.stacks.templates import INPUTS, NO_INPUTS
from transcripts.conversations import ConversationTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

#: A failed message comes again after so many seconds. The stacks set a minute, and a poison
#: message would take five of them to the dead letters.
VISIBILITY_TIMEOUT = 2

TEMPLATES = ROOT / ".local" / "test-cloud"


@dataclass(frozen=True, slots=True)
class Cloud:
    """An emulator with the stacks in it."""

    emulator: Emulator
    resources: StackOutputs

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a child process that uses this cloud."""
        return self.emulator.environment()

    @property
    def table(self) -> ConversationTable:
        return ConversationTable(self.resources.table_name, self.client("dynamodb"))

    def function(self, name: str) -> str:
        """Return what CloudFormation called the function of the folder `lambdas/NAME`."""
        [found] = [
            function["FunctionName"]
            for function in self.client("lambda").list_functions()["Functions"]
            if function["Handler"].startswith(f"lambdas.{name}.")
        ]
        return found

    def queue_arn(self, url: str) -> str:
        sqs = self.client("sqs")
        known = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return known["Attributes"]["QueueArn"]

    @overload
    def client(self, service: Literal["sqs"]) -> SQSClient: ...
    @overload
    def client(self, service: Literal["dynamodb"]) -> DynamoDBClient: ...
    @overload
    def client(self, service: Literal["lambda"]) -> LambdaClient: ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: str) -> Any:
        return self.emulator.client(service)


@asynccontextmanager
async def cloud_of_one_machine(
    data: Path, *, root: Path = ROOT, functions: Mapping[str, str] | None = None
) -> AsyncIterator[Cloud]:
    """Start an emulator on `data` with the stacks of `root` in it; stop it at the end.

    `functions` is what the functions find in their environments besides.

    Raises:
        EmulatorMissing: `make emulator` was not run; the message names it.
    """
    await deployed(data)
    emulator = Emulator(data, functions=functions)
    cloud = Cloud(emulator, await start(emulator, print, root=root))
    try:
        cloud.client("sqs").set_queue_attributes(
            QueueUrl=cloud.resources.queue_url,
            Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT)},
        )
        yield cloud
    finally:
        await emulator.stop()


async def deployed(data: Path) -> None:
    """Fill a new folder with what a deployment leaves behind.

    Deploying takes long, so it is done once for each state of the tree, into a folder that
    later sessions find. Their emulators get a copy each.
    """
    if not _is_new(data):
        return
    with await asyncio.to_thread(_alone):
        template = TEMPLATES / _state_of_the_tree()
        if not template.exists():
            shutil.rmtree(TEMPLATES / "new", ignore_errors=True)
            emulator = Emulator(TEMPLATES / "new")
            await start(emulator, print)
            await emulator.stop()  # with everything saved
            for outdated in TEMPLATES.glob("[0-9a-f]*"):
                shutil.rmtree(outdated)
            (TEMPLATES / "new").rename(template)
        shutil.copytree(template, data, dirs_exist_ok=True)


def _is_new(data: Path) -> bool:
    return data.parent.is_dir() and (not data.exists() or not any(data.iterdir()))


def _state_of_the_tree() -> str:
    ours = [f"local_cloud/{name}" for name in ("emulator", "stacks", "emulator-requirements.txt")]
    return fingerprint(ROOT, [*INPUTS, *ours], without=NO_INPUTS)


def _alone() -> TextIO:
    """Return an open file that keeps other sessions off the templates while it is open."""
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    file = (TEMPLATES / "lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def copied_tree(folder: Path) -> Path:
    """Return a copy of what the stacks are made from, to be changed at will."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in INPUTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns(*NO_INPUTS)
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "frontend").symlink_to(ROOT / "frontend")
    return folder
