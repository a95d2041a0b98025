"""Deployment of the CDK's stacks into the emulator, by the real command line, after a change.

A deployment happens as a whole or not at all. The emulator's state is copied before a deployment
begins, and the copy is removed once the deployed state is on the disk. Where a deployment failed or
was killed, the next start finds the copy, restores it and deploys again, so that half-made stacks
never exist for long. Its files in the emulator's data folder are

    deployment.log       the output of the command line, the last time
    cdk/assembly         the templates that were deployed
    cdk/outputs.json     the stacks' outputs: queues, table, bucket
    cdk/stamp            the fingerprint of their sources; absent during a deployment
    services.before      the state before a deployment that has not succeeded (yet)

EmulatorError
└── DeploymentFailed    the message is for people
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local_cloud import ROOT
from local_cloud.emulator.process import Emulator, EmulatorError
from local_cloud.emulator.program import Refused, lock
from local_cloud.stacks.cdk import MISSING, CommandFailed, CommandLine
from local_cloud.stacks.templates import (
    are_made,
    assembly_folder,
    fingerprint_stacks,
    mark_made,
)
from transcripts.conversations import EXPIRY

#: Limit for the next snapshot of the emulator, seconds. It takes one when asked.
SAVE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05

#: The stack with what the CDK needs in an account.
TOOLKIT: Final = "CDKToolkit"
#: What `cdk bootstrap` sets in its template where nothing else was asked for.
TOOLKIT_PARAMETERS: Final = {
    "CloudFormationExecutionPolicies": "arn:aws:iam::aws:policy/AdministratorAccess",
    "FileAssetsBucketKmsKeyId": "AWS_MANAGED_KEY",
}

#: Prints a line of progress.
Show = Callable[[str], None]


class DeploymentFailed(EmulatorError):
    """The stacks are not in the emulator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOutputs:
    """The names and URLs of deployed resources, from the stacks' outputs."""

    queue_url: str
    dead_letter_queue_url: str
    table_name: str
    streams_table: str
    recordings_bucket: str
    jobs_queue_url: str
    jobs_dead_letter_queue_url: str
    undelivered_queue_url: str

    @classmethod
    def parse(cls, outputs: Mapping[str, Mapping[str, str]]) -> StackOutputs:
        """Parse the outputs of all stacks, which are given by stack and name.

        Raises:
            DeploymentFailed: one is missing.
        """
        found = {name: value for stack in outputs.values() for name, value in stack.items()}
        try:
            return cls(
                queue_url=found["UtterancesQueueUrl"],
                dead_letter_queue_url=found["UtterancesDeadLettersUrl"],
                table_name=found["ConversationsTableName"],
                streams_table=found["StreamsTableName"],
                recordings_bucket=found["RecordingsBucketName"],
                jobs_queue_url=found["JobsQueueUrl"],
                jobs_dead_letter_queue_url=found["JobsDeadLettersUrl"],
                undelivered_queue_url=found["UndeliveredQueueUrl"],
            )
        except KeyError as missing:
            raise DeploymentFailed(f"the stacks have no output {missing}") from None


def outputs(data: Path) -> Path:
    """Return the file with the stacks' outputs in an emulator's data folder."""
    return data / "cdk" / "outputs.json"


async def start(emulator: Emulator, show: Show, *, root: Path = ROOT) -> StackOutputs:
    """Start an emulator with the stacks in it; deploy them if they or their functions changed.

    Args:
        emulator: one that does not run; it is stopped again when this fails.
        show: prints a line of progress.
        root: the tree with the CDK's app.

    Raises:
        EmulatorError: the emulator does not start, or the stacks cannot be deployed.
    """
    deployment = Deployment(emulator.data, root=root)
    due = deployment.prepare(show)
    await emulator.start()
    try:
        if due:
            await _while_alive(emulator, deployment.deploy(emulator, show))
        return deployment.resources()
    except BaseException:
        await emulator.stop()
        raise


async def _while_alive(emulator: Emulator, work: Coroutine[object, object, None]) -> None:
    """Do work with an emulator, but only as long as it runs: clients retry for minutes.

    Raises:
        DeploymentFailed: the emulator ended.
    """
    working = asyncio.create_task(work)
    ended = asyncio.create_task(emulator.wait())
    try:
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise DeploymentFailed(
                "the emulator ended while the stacks were deployed; the next start undoes what "
                f"was done and tries again. Its log: {emulator.log}"
            )
        working.result()
    finally:
        for task in (working, ended):
            task.cancel()
        await asyncio.gather(working, ended, return_exceptions=True)


class Deployment:
    """Deploys the stacks of one tree into an emulator's data folder."""

    def __init__(self, data: Path, *, root: Path = ROOT) -> None:
        self._data = data
        self._root = root
        self._services = data / "services"
        self._before = data / "services.before"
        self._stamp = data / "cdk" / "stamp"
        self._outputs = outputs(data)
        self._log = data / "deployment.log"
        self._fingerprint = fingerprint_stacks(root)

    def resources(self) -> StackOutputs:
        """Return what was deployed.

        Raises:
            DeploymentFailed: the stacks' outputs are missing or spoiled.
        """
        try:
            outputs = json.loads(self._outputs.read_text())
        except (OSError, ValueError) as error:
            self._stamp.unlink(missing_ok=True)
            raise DeploymentFailed(
                f"{self._outputs} cannot be read ({error}); the next start deploys anew"
            ) from None
        return StackOutputs.parse(outputs)

    def prepare(self, show: Show) -> bool:
        """Prepare the data for the emulator's start; return whether a deployment is due.

        Undoes one that was interrupted, and copies the state for one that is due.

        Raises:
            DeploymentFailed: an emulator runs on the data, or they cannot be written.
        """
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            with lock(self._data):
                return self._prepare(show)
        except Refused as refusal:
            raise DeploymentFailed(str(refusal)) from None
        except OSError as error:
            raise DeploymentFailed(f"{self._data} cannot be made ready: {error}") from error

    def _prepare(self, show: Show) -> bool:
        if self._before.exists():
            show("The last deployment was not finished; going back to what was before it ...")
            self._undo()
        if self._is_current():
            return False
        self._stamp.unlink(missing_ok=True)
        _copy(self._services, self._before)
        return True

    def _is_current(self) -> bool:
        """Return whether the stacks in the emulator are made from the tree as it is now."""
        try:
            held = self._stamp.read_bytes()
        except OSError:
            return False
        return held.strip() == self._fingerprint.encode() and self._outputs.exists()

    def _undo(self) -> None:
        shutil.rmtree(self._services, ignore_errors=True)
        self._before.rename(self._services)
        # Objects have their own folder, and a bucket found there would exist again. Only buckets
        # that the state does not mention are removed: the others hold the user's recordings.
        state = self._services / "s3.json"
        known = state.read_text() if state.exists() else ""
        for bucket in self._data.glob("s3/[0-9]*/*"):
            if bucket.name not in known:
                shutil.rmtree(bucket)

    async def deploy(self, emulator: Emulator, show: Show) -> None:
        """Deploy the stacks into an emulator that has just started on prepared data.

        Raises:
            DeploymentFailed: it failed; the next start undoes what was done.
        """
        show("Deploying the stacks into it; the first time this takes up to a minute ...")
        began = time.monotonic()
        try:
            cdk, assembly = await self._synthesise(emulator, show)
        except (CommandFailed, OSError) as error:  # not for anything in the stored data
            raise DeploymentFailed(f"the stacks could not be deployed: {error}") from error
        try:
            await self._deploy_assembly(emulator, cdk, assembly)
            await asyncio.to_thread(_enable_expiry, emulator, self.resources())
            await self._save(emulator)
        except (CommandFailed, BotoCoreError, ClientError, OSError) as error:
            raise DeploymentFailed(
                f"the stacks could not be deployed: {error}\n"
                "The next start undoes what was done and tries again. If it fails time and "
                f"again, remove {self._data}: what is stored there is lost, and it begins anew."
            ) from error
        _remove(self._before)  # from here on it counts as done
        self._stamp.write_text(self._fingerprint)
        show(f"The stacks are deployed after {time.monotonic() - began:.0f} s.")

    async def _synthesise(self, emulator: Emulator, show: Show) -> tuple[CommandLine, Path]:
        """Make the templates; return the command line and where they are."""
        folder = self._data / "cdk"
        folder.mkdir(exist_ok=True)
        self._log.unlink(missing_ok=True)
        cdk = CommandLine(
            root=self._root,
            home=folder / "home",
            log=self._log,
            environment=emulator.environment(),
            show=show,
        )
        assembly = assembly_folder(self._data)
        if not are_made(assembly, self._fingerprint):
            shutil.rmtree(assembly, ignore_errors=True)
            await cdk.synthesise(assembly)
            mark_made(assembly, self._fingerprint)
        return cdk, assembly

    async def _deploy_assembly(self, emulator: Emulator, cdk: CommandLine, assembly: Path) -> None:
        await asyncio.to_thread(_bootstrap, emulator, cdk.bootstrap_template)
        await cdk.run(
            "deploying the stacks",
            *("deploy", "--app", str(assembly), "--all"),
            # At once, for there is nobody to look at a change set.
            *("--method", "direct", "--require-approval", "never"),
            *("--outputs-file", str(self._outputs)),
        )

    async def _save(self, emulator: Emulator) -> None:
        """Let the emulator take a snapshot, which holds everything that was done until now.

        A snapshot is taken in one go, and the queues' file is the last that it writes.
        """
        now = time.time_ns()
        os.kill(emulator.pid, signal.SIGUSR1)
        queues = self._services / "sqs.json"
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                while not queues.exists() or queues.stat().st_mtime_ns < now:  # noqa: ASYNC110 - a file announces nothing
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise CommandFailed(
                f"the emulator saved nothing for {SAVE_SECONDS:g} seconds; {self._data} has its log"
            ) from None


def _copy(source: Path, target: Path) -> None:
    """Copy a folder, which may not exist, so that the copy is whole or absent."""
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, fresh)
    else:
        fresh.mkdir()
    fresh.rename(target)


def _remove(folder: Path) -> None:
    """Remove a folder so that it is whole or absent."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


def _bootstrap(emulator: Emulator, template: Path) -> None:
    """Prepare the account for the CDK once, as `cdk bootstrap` does, but without another Node.

    Raises:
        CommandFailed: the CDK's command line, which brings the template, is not installed.
    """
    stacks: Any = emulator.client("cloudformation")
    if _is_bootstrapped(stacks):
        return
    if not template.exists():
        raise CommandFailed(MISSING)
    stacks.create_stack(
        StackName=TOOLKIT,
        TemplateBody=template.read_text(),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in TOOLKIT_PARAMETERS.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    waiter = stacks.get_waiter("stack_create_complete")
    waiter.wait(StackName=TOOLKIT, WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": 600})


def _is_bootstrapped(stacks: Any) -> bool:
    try:
        stacks.describe_stacks(StackName=TOOLKIT)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # it does not exist
            return False
        raise
    return True


def _enable_expiry(emulator: Emulator, resources: StackOutputs) -> None:
    """Enable the tables' expiry, which the emulator's CloudFormation leaves out."""
    dynamodb = emulator.client("dynamodb")
    for table in (resources.table_name, resources.streams_table):
        known = dynamodb.describe_time_to_live(TableName=table)
        if known["TimeToLiveDescription"].get("TimeToLiveStatus") != "ENABLED":
            dynamodb.update_time_to_live(
                TableName=table,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRY},
            )
