"""The CDK's stacks in the emulator: what they do, and when they are deployed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from local_cloud import ROOT
from local_cloud.emulator.process import Emulator
from local_cloud.stacks import cdk, deployment
from local_cloud.stacks.cdk import CommandLine
from local_cloud.stacks.deployment import DeploymentFailed
from tests.support.cloud import Cloud, cloud_of_one_machine, copied_tree, deployed
from tests.support.eventually import eventually
from tests.support.utterances import BEGIN, conversation, utterance

pytestmark = pytest.mark.integration


# --- what is deployed ---------------------------------------------------------------------


async def taken(cloud: Cloud, queue_url: str) -> list[str]:
    """Take the bodies of the messages that are in a queue at the moment."""
    sqs = cloud.client("sqs")
    found: list[str] = []
    while messages := (
        await asyncio.to_thread(sqs.receive_message, QueueUrl=queue_url, MaxNumberOfMessages=10)
    ).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message["Body"])
    return found


async def test_an_uploaded_recording_is_a_job_and_nothing_else_is(cloud: Cloud) -> None:
    talk = conversation()
    bucket = cloud.resources.recordings_bucket
    s3 = cloud.client("s3")

    for key in (
        f"transcripts/uploads/{talk}-done.wav.json",
        f"users/me/transcripts/{talk}-chunk-002.json",
        f"users/me/audio/sessions/{talk}/metadata.json",
        # These two have been transcribed before.
        f"uploads/{talk}-done.wav",
        f"users/me/audio/sessions/{talk}/chunk-002.webm",
        f"users/me/audio/sessions/{talk}/chunk-001.webm",
        f"uploads/{talk}.wav",
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"sound")

    jobs: list[str] = []

    async def both() -> bool:
        jobs.extend(await taken(cloud, cloud.resources.jobs_queue_url))
        return sum(talk in job for job in jobs) >= 2

    await eventually(both, "the upload and the chunk are jobs")
    await asyncio.sleep(1)
    jobs += await taken(cloud, cloud.resources.jobs_queue_url)
    ours = [job for job in jobs if talk in job]
    assert len(ours) == 2
    assert any(f"uploads/{talk}.wav" in job for job in ours)
    assert any(f"audio/sessions/{talk}/chunk-001.webm" in job for job in ours)


async def test_an_application_asks_for_a_transcript_by_an_event(cloud: Cloud) -> None:
    talk = conversation()
    cloud.client("events").put_events(
        Entries=[
            {
                "Source": source,
                "DetailType": "Audio Uploaded",
                "Detail": json.dumps(
                    {
                        "s3Location": {"bucket": bucket, "key": f"uploads/{talk}-{name}.wav"},
                        "userId": "me",
                    }
                ),
            }
            for name, source, bucket in (
                ("ours", "cloudscribe", cloud.resources.recordings_bucket),
                ("theirs", "cloudscribe", "a-bucket-of-others"),
                ("strange", "somebody", cloud.resources.recordings_bucket),
            )
        ]
    )

    jobs: list[str] = []

    async def asked() -> bool:
        jobs.extend(await taken(cloud, cloud.resources.jobs_queue_url))
        return any(f"{talk}-ours.wav" in job for job in jobs)

    await eventually(asked, "our recording is a job")
    await asyncio.sleep(1)
    jobs += await taken(cloud, cloud.resources.jobs_queue_url)
    assert sum(talk in job for job in jobs) == 1


async def test_every_function_can_be_loaded_where_it_is_to_run(cloud: Cloud) -> None:
    functions = cloud.client("lambda")
    names = [function["FunctionName"] for function in functions.list_functions()["Functions"]]

    for name in names:
        answer = functions.invoke(FunctionName=f"{name}:live", Payload=b"{}")
        payload = json.loads(answer["Payload"].read() or b"null")
        # What an empty event makes of it does not matter here; that the module is found does.
        # The emulator's interpreter stands for the layer.
        assert "No module named" not in str(payload)
        assert "init failed" not in str(payload)


async def test_messages_events_and_schedules_reach_the_version_that_is_live(cloud: Cloud) -> None:
    functions = cloud.client("lambda")
    events = cloud.client("events")

    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    rules = [rule["Name"] for rule in events.list_rules()["Rules"]]
    targets = [
        target["Arn"]
        for rule in rules
        for target in events.list_targets_by_rule(Rule=rule)["Targets"]
    ]

    assert targets
    assert all(arn.endswith(":live") for arn in targets)
    assert [mapping["FunctionArn"].rpartition(":")[2] for mapping in mappings] == ["live"]
    for function in functions.list_functions()["Functions"]:
        alias = functions.get_alias(FunctionName=function["FunctionName"], Name="live")
        assert alias["FunctionVersion"] != "$LATEST"


async def test_logs_of_functions_are_kept_for_a_while_in_a_group_of_their_own(
    cloud: Cloud,
) -> None:
    spoken = utterance(conversation())
    cloud.client("sqs").send_message(
        QueueUrl=cloud.resources.queue_url, MessageBody=spoken.model_dump_json(by_alias=True)
    )
    await eventually(lambda: cloud.table.since(spoken.conversation_id, BEGIN), "it is stored")
    processor = cloud.client("lambda").get_function_configuration(
        FunctionName=cloud.function("transcript_processor")
    )
    logs = cloud.client("logs")

    group = processor["LoggingConfig"]["LogGroup"]
    [known] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]

    assert known["retentionInDays"] == 14
    assert streams


# --- when it is deployed ------------------------------------------------------------------


def command_line(cloud: Cloud, log: Path) -> CommandLine:
    return CommandLine(
        root=ROOT,
        home=cloud.emulator.data / "cdk" / "home",
        log=log,
        environment=cloud.environment,
        show=print,
    )


async def test_an_unchanged_environment_has_no_difference(cloud: Cloud, tmp_path: Path) -> None:
    await command_line(cloud, tmp_path / "log").run(
        "looking for differences",
        *("diff", "--fail", "--output", str(tmp_path / "assembly")),
        *("--context", "environment=local"),
    )

    assert "Number of stacks with differences: 0" in (tmp_path / "log").read_text()


async def test_an_unchanged_tree_is_not_deployed_again(tmp_path: Path) -> None:
    tree = copied_tree(tmp_path / "tree")
    (tree / "node_modules").unlink()  # whoever needs the command line, fails

    async with cloud_of_one_machine(tmp_path / "data", root=tree) as cloud:
        tables = cloud.client("dynamodb").list_tables()["TableNames"]
        assert set(tables) == {cloud.resources.table_name, cloud.resources.streams_table}


async def test_a_function_that_changed_is_deployed_at_the_next_start_and_the_data_stay(
    tmp_path: Path,
) -> None:
    spoken = utterance(conversation())
    tree = copied_tree(tmp_path / "tree")
    handler = tree / "build" / "functions" / "transcript_processor" / "lambdas"
    handler = handler / "transcript_processor" / "handler.py"

    async with cloud_of_one_machine(tmp_path / "data") as before:
        before.table.put(spoken)
        before.client("s3").put_object(
            Bucket=before.resources.recordings_bucket, Key="kept", Body=b"sound"
        )
        name = before.function("transcript_processor")
        old = before.client("lambda").get_alias(FunctionName=name, Name="live")
        router = before.client("lambda").get_alias(
            FunctionName=before.function("router"), Name="live"
        )
    handler.write_text(f"{handler.read_text()}\n# A remark.\n")

    async with cloud_of_one_machine(tmp_path / "data", root=tree) as after:
        functions = after.client("lambda")
        new = functions.get_alias(FunctionName=name, Name="live")

        assert after.resources == before.resources
        assert new["FunctionVersion"] != old["FunctionVersion"]
        assert (
            functions.get_alias(FunctionName=after.function("router"), Name="live")[
                "FunctionVersion"
            ]
            == router["FunctionVersion"]
        ), "what did not change keeps its version"
        assert after.table.since(spoken.conversation_id, BEGIN) == [spoken]
        kept = after.client("s3").get_object(Bucket=after.resources.recordings_bucket, Key="kept")
        assert kept["Body"].read() == b"sound"
        late = utterance(conversation())
        after.client("sqs").send_message(
            QueueUrl=after.resources.queue_url, MessageBody=late.model_dump_json(by_alias=True)
        )
        await eventually(
            lambda: after.table.since(late.conversation_id, BEGIN) == [late],
            "the new version stores utterances",
        )


async def test_after_a_kill_in_the_middle_the_next_start_goes_back_and_deploys(
    tmp_path: Path,
) -> None:
    spoken = utterance(conversation())
    data = tmp_path / "data"
    async with cloud_of_one_machine(data) as cloud:
        cloud.table.put(spoken)
        bucket = cloud.resources.recordings_bucket
        cloud.client("s3").put_object(Bucket=bucket, Key="kept", Body=b"sound")
    half_made = data / "s3" / "000000000000" / "made-by-what-is-undone"
    half_made.mkdir()
    # What a kill leaves: stacks that wait for an engine that is gone, and the state before.
    shutil.copytree(data / "services", data / "services.before")
    (data / "cdk" / "stamp").unlink()
    stacks = data / "services" / "cloudformation.json"
    stacks.write_text(stacks.read_text().replace("CREATE_COMPLETE", "UPDATE_IN_PROGRESS"))

    async with cloud_of_one_machine(data) as again:
        found = again.client("cloudformation").describe_stacks()["Stacks"]

        assert {stack["StackStatus"] for stack in found} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
        assert again.table.since(spoken.conversation_id, BEGIN) == [spoken]
        kept = again.client("s3").get_object(Bucket=again.resources.recordings_bucket, Key="kept")
        assert kept["Body"].read() == b"sound"
    assert not (data / "services.before").exists()
    assert not half_made.exists()


# --- when it cannot be deployed -----------------------------------------------------------


def with_command_line(tree: Path, script: str) -> Path:
    """Give a copy of the tree a command line of our own."""
    (tree / "node_modules").unlink()
    program = tree / "node_modules" / ".bin" / "cdk"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return tree


@pytest.mark.parametrize(
    ("app", "step", "advice"),
    [
        ("import sys; sys.exit('no luck today')", "making the templates", False),
        ("import os; os.mkdir(os.environ['CDK_OUTDIR'])", "deploying the stacks", True),
    ],
)
async def test_a_failed_deployment_is_reported_in_its_own_words_and_undone(
    tmp_path: Path, app: str, step: str, *, advice: bool
) -> None:
    """That data can be removed is advice only where these have a part in it."""
    data = tmp_path / "data"
    await deployed(data)
    emulator = Emulator(data)
    tree = with_command_line(copied_tree(tmp_path / "tree"), "echo no luck today; exit 3")
    (tree / "app.py").write_text(app)

    with pytest.raises(DeploymentFailed, match=f"{step} failed") as failure:
        await deployment.start(emulator, print, root=tree)

    assert "no luck today" in str(failure.value)
    assert (f"remove {data}:" in str(failure.value)) is advice
    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.pid
    assert not deployment.Deployment(data, root=tree)._stamp.exists()
    assert (data / "services.before").exists(), "the next start goes back to it"


async def test_without_the_command_line_the_command_that_installs_it_is_named(
    tmp_path: Path,
) -> None:
    tree = copied_tree(tmp_path / "tree")
    (tree / "node_modules").unlink()

    with pytest.raises(DeploymentFailed, match="make demo"):
        await deployment.start(Emulator(tmp_path / "data"), print, root=tree)


async def test_a_command_that_hangs_reports_progress_and_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdk, "PROGRESS_SECONDS", 0.3)
    monkeypatch.setattr(cdk, "TIMEOUT", 1.0)
    tree = copied_tree(tmp_path / "tree")
    (tree / "app.py").write_text("import time; time.sleep(600)")
    printed: list[str] = []

    with pytest.raises(DeploymentFailed, match="given up after 1 seconds"):
        await deployment.start(Emulator(tmp_path / "data"), printed.append, root=tree)

    assert any("... making the templates" in line for line in printed)


async def test_an_interrupted_deployment_leaves_no_process(tmp_path: Path) -> None:
    tree = copied_tree(tmp_path / "tree")
    (tree / "app.py").write_text("import os; os.system('sleep 600 & sleep 600')")
    begun = asyncio.Event()
    emulator = Emulator(tmp_path / "data")
    me = psutil.Process()
    before = set(me.children(recursive=True))

    deploying = asyncio.create_task(deployment.start(emulator, lambda _: begun.set(), root=tree))
    await begun.wait()
    await eventually(
        lambda: any("sleep" in p.name() for p in me.children(recursive=True)), "it runs"
    )
    children = set(me.children(recursive=True)) - before
    deploying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deploying

    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


async def test_an_emulator_that_dies_meanwhile_is_reported_and_the_next_start_deploys(
    tmp_path: Path,
) -> None:
    emulator = Emulator(tmp_path)
    deploying = asyncio.create_task(deployment.start(emulator, print))

    await eventually(
        lambda: deploying.done() or list(tmp_path.glob("s3/*/cdk-*/*.zip")),
        "the functions' code is uploaded",
        within=300,
    )
    os.kill(emulator.pid, signal.SIGKILL)
    with pytest.raises(DeploymentFailed, match="the emulator ended"):
        await deploying

    again = Emulator(tmp_path)
    printed: list[str] = []
    resources = await deployment.start(again, printed.append)
    tables = again.client("dynamodb").list_tables()["TableNames"]
    await again.stop()
    assert "was not finished" in printed[0]
    assert set(tables) == {resources.table_name, resources.streams_table}


# --- what the CDK keeps -------------------------------------------------------------------


async def test_pruning_deletes_what_no_template_names_and_nothing_else(
    cloud: Cloud, tmp_path: Path
) -> None:
    s3 = cloud.client("s3")
    (bucket,) = (
        each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("cdk-")
    )
    stacks = cloud.client("cloudformation")
    templates = "".join(
        str(stacks.get_template(StackName=each["StackName"])["TemplateBody"])
        for each in stacks.list_stacks()["StackSummaries"]
    )
    named = set(re.findall(r"[0-9a-f]{64}[.]zip", templates))
    old = f"{'0' * 64}.zip"
    s3.put_object(Bucket=bucket, Key=old, Body=b"of a function that was replaced")
    # As `make prune` does it, but for what is new as well.
    (prune,) = re.findall(r"^PRUNE = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    local = ("--context", "environment=local", "--output", str(tmp_path / "assembly"))
    command = CommandLine(
        root=ROOT,
        home=tmp_path / "home",
        log=tmp_path / "log",
        environment=cloud.environment,
        show=print,
    )

    await command.run("pruning", *prune.replace("30", "0").split(), "--confirm=false", *local)

    left = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert len(named) >= 4
    assert named <= left
    assert old not in left
