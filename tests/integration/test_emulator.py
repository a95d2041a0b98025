"""Each feature of the emulator that the project relies on: it is young, and it will be updated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from local_cloud import ROOT
from local_cloud.emulator import process
from local_cloud.emulator.process import Emulator, EmulatorFailed, EmulatorMissing
from tests.support.cloud import Cloud, cloud_of_one_machine
from tests.support.eventually import eventually
from tests.support.utterances import BEGIN, conversation, utterance
from transcripts.conversations import EXPIRY, key_of
from transcripts.recordings.keys import CHUNK_OUTCOME_EVENTS, METADATA_EVENTS_END

pytestmark = pytest.mark.integration


# --- queues -------------------------------------------------------------------------------


async def test_a_batch_of_ten_messages_comes_out_once_deleted_never_again(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=f"test-{uuid.uuid4()}")["QueueUrl"]
    bodies = [f"message {n}" for n in range(10)]

    sent = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)],
    )
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
            for n, message in enumerate(received)
        ],
    )

    assert [entry["Id"] for entry in sent["Successful"]] == [str(n) for n in range(10)]
    assert sorted(message["Body"] for message in received) == bodies
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


async def test_a_queue_that_does_not_exist_is_an_error(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")

    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=f"{cloud.resources.queue_url}-not", MessageBody="lost")


async def test_a_message_that_was_received_too_often_goes_to_the_dead_letter_queue(
    cloud: Cloud,
) -> None:
    sqs = cloud.client("sqs")
    dead = sqs.create_queue(QueueName=f"test-{uuid.uuid4()}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "2"}
    url = sqs.create_queue(
        QueueName=f"test-{uuid.uuid4()}",
        Attributes={"VisibilityTimeout": "0", "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]

    sqs.send_message(QueueUrl=url, MessageBody="poison")
    received = [len(sqs.receive_message(QueueUrl=url).get("Messages", [])) for _ in range(3)]

    assert received == [1, 1, 0]
    assert [m["Body"] for m in sqs.receive_message(QueueUrl=dead)["Messages"]] == ["poison"]


async def test_the_function_is_given_at_most_ten_messages_by_two_processes(cloud: Cloud) -> None:
    mappings = cloud.client("lambda").list_event_source_mappings(
        EventSourceArn=cloud.queue_arn(cloud.resources.queue_url)
    )

    [mapping] = mappings["EventSourceMappings"]
    assert mapping["BatchSize"] == 10
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


# --- the table ----------------------------------------------------------------------------


async def test_a_conditional_put_stores_an_utterance_once(cloud: Cloud) -> None:
    spoken = utterance(conversation())
    other = spoken.model_copy(update={"text": "something else"})

    assert [cloud.table.put(each) for each in (spoken, spoken, other)] == [True, False, False]
    assert cloud.table.since(spoken.conversation_id, BEGIN) == [spoken]


async def test_of_many_puts_at_once_exactly_one_is_the_first(cloud: Cloud) -> None:
    spoken = utterance(conversation())
    table = cloud.table

    stored = await asyncio.gather(*(asyncio.to_thread(table.put, spoken) for _ in range(16)))

    assert sorted(stored) == [False] * 15 + [True]


async def test_a_query_gives_pages_of_a_megabyte_in_the_order_of_time(cloud: Cloud) -> None:
    talk = conversation()
    spoken = [
        utterance(talk, timestamp=BEGIN + timedelta(seconds=second), text="\N{COMET}" * 20_000)
        for second in range(20)
    ]
    for each in reversed(spoken):
        cloud.table.put(each)

    first_page = cloud.client("dynamodb").query(
        TableName=cloud.resources.table_name,
        KeyConditionExpression="conversationId = :talk",
        ExpressionAttributeValues={":talk": {"S": talk}},
    )

    assert first_page["Count"] < 20
    assert first_page["LastEvaluatedKey"]["conversationId"] == {"S": talk}
    assert cloud.table.since(talk, BEGIN + timedelta(seconds=1)) == spoken[1:]


async def test_a_batch_of_keys_is_looked_for_at_once(cloud: Cloud) -> None:
    stored = [utterance(conversation()) for _ in range(60)]
    absent = [utterance(conversation()) for _ in range(40)]
    for each in stored:
        cloud.table.put(each)

    found = cloud.table.has([key_of(each) for each in stored + absent])

    assert found == {key_of(each): each in stored for each in stored + absent}


async def test_the_table_expires_items_and_has_a_stream(cloud: Cloud) -> None:
    dynamodb = cloud.client("dynamodb")
    name = cloud.resources.table_name

    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    table = dynamodb.describe_table(TableName=name)["Table"]

    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": EXPIRY}
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


# --- events -----------------------------------------------------------------------------------


async def test_a_rule_matches_keys_by_wildcard_and_by_their_end(
    cloud: Cloud, cleanup: contextlib.ExitStack
) -> None:
    events, sqs = cloud.client("events"), cloud.client("sqs")
    rule, source = f"rule-{uuid.uuid4()}", f"test-{uuid.uuid4()}"
    url = sqs.create_queue(QueueName=rule)["QueueUrl"]
    keys = [{"wildcard": CHUNK_OUTCOME_EVENTS}, {"suffix": METADATA_EVENTS_END}]
    pattern = {"source": [source], "detail": {"object": {"key": keys}}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    # Other tests of this worker look at all rules.
    cleanup.callback(events.delete_rule, Name=rule)
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": cloud.queue_arn(url)}])
    cleanup.callback(events.remove_targets, Rule=rule, Ids=["queue"])
    matched = {"users/a/transcripts/s-chunk-1.json", "users/a/audio/sessions/s/metadata.json"}
    others = {"users/a/transcripts/s.json", "metadata.json", "users/a/metadata.json.webm"}

    for key in sorted(others) + sorted(matched):
        detail = json.dumps({"object": {"key": key}})
        events.put_events(Entries=[{"Source": source, "DetailType": "x", "Detail": detail}])

    received: set[str] = set()

    def all_came() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        received.update(
            json.loads(each["Body"])["detail"]["object"]["key"]
            for each in answer.get("Messages", [])
        )
        return received >= matched

    await eventually(all_came, "both keys that match are delivered")
    assert received == matched


# --- data survive -------------------------------------------------------------------------


async def test_after_a_stop_everything_is_there_and_works_on_another_port(tmp_path: Path) -> None:
    talk = conversation()
    stored, waiting, late = (
        utterance(talk, timestamp=BEGIN + timedelta(seconds=second)) for second in range(3)
    )
    async with cloud_of_one_machine(tmp_path) as before:
        before.table.put(stored)
        functions = before.client("lambda")
        [mapping] = functions.list_event_source_mappings()["EventSourceMappings"]
        # So that the message still waits when the emulator stops.
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        before.client("sqs").send_message(
            QueueUrl=before.resources.queue_url, MessageBody=waiting.model_dump_json(by_alias=True)
        )

    async with cloud_of_one_machine(tmp_path) as after:
        after.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
        after.client("sqs").send_message(
            QueueUrl=after.resources.queue_url, MessageBody=late.model_dump_json(by_alias=True)
        )

        assert after.emulator.endpoint != before.emulator.endpoint
        await eventually(
            lambda: after.table.since(talk, BEGIN) == [stored, waiting, late],
            "all three utterances are stored",
        )


async def test_after_a_kill_the_data_are_there_and_no_process_is_left(tmp_path: Path) -> None:
    spoken = utterance(conversation())
    async with cloud_of_one_machine(tmp_path) as cloud:
        cloud.client("sqs").send_message(
            QueueUrl=cloud.resources.queue_url, MessageBody=spoken.model_dump_json(by_alias=True)
        )
        await eventually(lambda: cloud.table.since(spoken.conversation_id, BEGIN), "it is stored")
        functions = psutil.Process(cloud.emulator.pid).children(recursive=True)
        saved = tmp_path / "services" / "dynamodb.json"
        await eventually(
            lambda: saved.exists() and spoken.utterance_id in saved.read_text(), "it is saved"
        )

        os.kill(cloud.emulator.pid, signal.SIGKILL)

        assert await cloud.emulator.wait() == -signal.SIGKILL
        assert functions
        await eventually(lambda: not psutil.wait_procs(functions, 0)[1], "the functions end too")

    async with cloud_of_one_machine(tmp_path) as cloud:
        assert cloud.table.since(spoken.conversation_id, BEGIN) == [spoken]


# --- the process --------------------------------------------------------------------------


async def test_a_second_emulator_on_the_same_data_is_refused(cloud: Cloud) -> None:
    data = cloud.emulator.log.parent
    second = Emulator(data.parent / data.name)

    with pytest.raises(EmulatorFailed, match="another emulator uses"):
        await second.start()


async def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(EmulatorFailed, match=f"port {port} cannot be had"):
            await Emulator(tmp_path, port=port).start()


async def test_without_its_environment_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorMissing, match="make emulator"):
        await Emulator(tmp_path, python=tmp_path / "bin" / "python").start()


async def test_a_hung_emulator_is_stopped_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_TIMEOUT", 0.5)
    emulator = Emulator(tmp_path)
    await emulator.start()
    pid = emulator.pid
    os.kill(pid, signal.SIGSTOP)

    await emulator.stop()

    assert not psutil.pid_exists(pid)


async def test_the_emulator_dies_with_its_parent(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from local_cloud.emulator.process import Emulator

async def main():
    emulator = Emulator(Path({str(tmp_path)!r}))
    await emulator.start()
    print(emulator.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    parent = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )

    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    await eventually(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
        "the emulator ends",
    )


async def test_a_shell_set_up_for_a_real_account_does_not_lead_there(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {
        "AWS_CA_BUNDLE": "/nowhere.pem",
        "AWS_ENDPOINT_URL_SQS": "https://sqs.eu-central-1.amazonaws.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    program = "import boto3, sys; print(boto3.client('sqs').get_queue_url(QueueName=sys.argv[1]))"

    queue = cloud.resources.queue_url.rpartition("/")[2]
    own = Emulator(Path("unused"))
    own._endpoint = cloud.emulator.endpoint
    answer = own.client("sqs").get_queue_url(QueueName=queue)
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, queue],
        env=cloud.environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )

    assert answer["QueueUrl"].endswith(f"/{queue}")
    assert queue in child.stdout.decode()
