"""Sending back what failed: nothing is lost, and nothing is sent where it does not belong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from infra.commands import redrive
from infra.commands.redrive import NotRedriven, RedriveReport, deliver, event_of, move
from lambdas.undelivered import Undelivered

pytestmark = pytest.mark.unit

ARN = "arn:aws:sqs:us-east-1:123456789012:dead"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:cloudscribe-demo-functions-Router1"
EVENT = {"detail-type": "Object Created", "detail": {"object": {"key": "uploads/a.wav"}}}
RECORD = {
    "version": "1.0",
    "requestContext": {"functionArn": f"{FUNCTION}:7", "condition": "RetriesExhausted"},
    "requestPayload": EVENT,
}


def nothing() -> None:
    """Show no progress."""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(redrive, "PAUSE", 0.0)


# --- by SQS itself --------------------------------------------------------------------------------


def moved_by_sqs(*tasks: dict[str, Any] | None) -> RedriveReport:
    """Move with an SQS that answers so; botocore checks both sides against its model."""
    sqs = boto3.client("sqs")
    report = RedriveReport(queue="jobs", found=3)
    with Stubber(sqs) as stub:
        stub.add_response(
            "get_queue_attributes",
            {"Attributes": {"QueueArn": ARN}},
            {"QueueUrl": "dead", "AttributeNames": ["QueueArn"]},
        )
        stub.add_response("start_message_move_task", {"TaskHandle": "t"}, {"SourceArn": ARN})
        for task in tasks:
            stub.add_response(
                "list_message_move_tasks",
                {"Results": [{"SourceArn": ARN, **task}]} if task else {},
                {"SourceArn": ARN, "MaxResults": 1},
            )
        move(sqs, "dead", "jobs", report, nothing)
        stub.assert_no_pending_responses()
    return report


def test_sqs_moves_and_is_watched_until_it_is_done() -> None:
    report = moved_by_sqs(
        {"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 1},
        {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 3},
    )

    assert report.moved == 3


def test_a_task_that_sqs_does_not_list_yet_is_waited_for() -> None:
    report = moved_by_sqs(
        None,
        {"Status": "RUNNING"},
        {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 2},
    )

    assert report.moved == 2


def test_a_task_that_sqs_gives_up_is_reported() -> None:
    with pytest.raises(NotRedriven, match=r"FAILED.*AccessDenied"):
        moved_by_sqs(
            {
                "Status": "FAILED",
                "ApproximateNumberOfMessagesMoved": 1,
                "FailureReason": "CouldNotStart AccessDenied",
            }
        )


# --- one by one -----------------------------------------------------------------------------------


def without_moving(sqs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an SQS that does not know StartMessageMoveTask."""

    def unknown(**_: object) -> None:
        raise ClientError({"Error": {"Code": "InvalidAction"}}, "StartMessageMoveTask")

    monkeypatch.setattr(sqs, "start_message_move_task", unknown)


@dataclass
class Queues:
    sqs: Any
    dead: str
    target: str

    def bodies(self, url: str) -> list[str]:
        found: list[str] = []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            found += [each["Body"] for each in messages]
        return sorted(found)


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    """Queues of an SQS that does not know StartMessageMoveTask."""
    with mock_aws():
        sqs = boto3.client("sqs")
        made = Queues(
            sqs, *(sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "target"))
        )

        without_moving(sqs, monkeypatch)
        yield made


def test_where_sqs_cannot_every_message_is_sent_with_its_attributes(queues: Queues) -> None:
    for number in range(25):
        queues.sqs.send_message(
            QueueUrl=queues.dead,
            MessageBody=f"{number:02}",
            MessageAttributes={"traceparent": {"DataType": "String", "StringValue": "00-1-2-01"}},
        )
    report = RedriveReport(queue="jobs", found=25)

    move(queues.sqs, queues.dead, queues.target, report, nothing)

    assert report.moved == 25
    one = queues.sqs.receive_message(
        QueueUrl=queues.target, MessageAttributeNames=["All"], VisibilityTimeout=0
    )["Messages"][0]
    assert one["MessageAttributes"]["traceparent"]["StringValue"] == "00-1-2-01"
    assert queues.bodies(queues.target) == [f"{number:02}" for number in range(25)]
    assert queues.bodies(queues.dead) == []


def test_what_cannot_be_sent_stays(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        queues.sqs.send_message(QueueUrl=queues.dead, MessageBody=str(number))
    send = queues.sqs.send_message
    sent: list[str] = []

    def breaks(**message: Any) -> Any:
        if sent:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")
        sent.append(message["MessageBody"])
        return send(**message)

    monkeypatch.setattr(queues.sqs, "send_message", breaks)
    monkeypatch.setattr(redrive, "VISIBILITY", 0)

    with pytest.raises(ClientError):
        move(queues.sqs, queues.dead, queues.target, RedriveReport(queue="jobs", found=3), nothing)

    assert len(queues.bodies(queues.dead)) == 2
    assert queues.bodies(queues.target) == sent


def test_what_fails_again_at_once_is_not_sent_for_ever(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer so quick that each message is a dead letter again before the run has ended."""
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="poison")
    send = queues.sqs.send_message
    began = time.time()
    monkeypatch.setattr(redrive, "time", SimpleNamespace(time=lambda: began))
    monkeypatch.setattr(
        queues.sqs,
        "send_message",
        lambda **message: send(**{**message, "QueueUrl": queues.dead}),
    )
    report = RedriveReport(queue="jobs", found=1)

    move(queues.sqs, queues.dead, queues.target, report, nothing)

    assert report.moved == 1


# --- events ---------------------------------------------------------------------------------------


def test_an_event_is_read_from_either_record() -> None:
    name = FUNCTION.rpartition(":")[2]
    by_lambda: Any = {"Body": json.dumps(RECORD)}
    by_event_bridge: Any = {
        "Body": json.dumps(EVENT),
        "MessageAttributes": {"TARGET_ARN": {"StringValue": f"{FUNCTION}:live"}},
    }

    assert event_of(by_lambda) == event_of(by_event_bridge) == (name, EVENT)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "5",
        "[]",
        "null",
        "{}",
        '{"requestContext": 5}',
        '{"requestContext": {"functionArn": 5}, "requestPayload": {}}',
        '{"requestContext": {"functionArn": "arn:aws:sqs:us-east-1:1:q"}, "requestPayload": {}}',
        json.dumps({"requestContext": RECORD["requestContext"]}),
    ],
)
def test_what_is_no_event_of_ours_is_nobodys(body: str) -> None:
    message: Any = {"Body": body}

    assert event_of(message) is None


class Functions:
    """Lambda, as far as it is used here."""

    class exceptions:  # noqa: N801 - as botocore's clients have it
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.invoked: list[dict[str, Any]] = []

    def invoke(self, **call: Any) -> None:
        if "gone" in call["FunctionName"]:
            raise self.exceptions.ResourceNotFoundException
        self.invoked.append(call)


def delivered(queues: Queues, *records: object) -> tuple[Functions, RedriveReport]:
    for record in records:
        queues.sqs.send_message(QueueUrl=queues.dead, MessageBody=json.dumps(record))
    functions, report = Functions(), RedriveReport(queue="undelivered", found=len(records))
    lambdas: Any = functions
    deliver(
        lambdas,
        queues.sqs,
        queues.dead,
        environment="demo",
        report=report,
        progress=nothing,
    )
    return functions, report


def test_a_function_gets_its_event_through_its_newest_version(queues: Queues) -> None:
    functions, report = delivered(queues, RECORD)

    (call,) = functions.invoked
    assert call["FunctionName"] == "cloudscribe-demo-functions-Router1:live"
    assert call["InvocationType"] == "Event"
    assert json.loads(call["Payload"]) == EVENT
    assert (report.moved, report.kept) == (1, {})
    assert queues.bodies(queues.dead) == []


def test_what_belongs_to_no_function_of_the_environment_stays_and_is_named(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "VISIBILITY", 1)

    def of(name: str) -> dict[str, Any]:
        context = {"functionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}"}
        return {"requestContext": context, "requestPayload": EVENT}

    functions, report = delivered(
        queues, of("cloudscribe-prod-functions-R"), of("cloudscribe-demo-gone"), "what?"
    )

    assert functions.invoked == []
    assert report.moved == 0
    assert sorted(report.kept.values()) == [
        "cloudscribe-prod-functions-R is no function of demo",
        "it is no event that EventBridge, Lambda or a function gave up",
        "there is no function cloudscribe-demo-gone any more",
    ]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The outputs of a data stack whose queues exist."""
    with mock_aws():
        sqs = boto3.client("sqs")
        outputs = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"]
            for pair in redrive.QUEUES.values()
            for name in pair
            if name
        }
        monkeypatch.setattr(redrive, "resources", lambda *_: outputs)
        clients = {"sqs": sqs}
        session = SimpleNamespace(client=clients.get)
        monkeypatch.setattr(boto3, "Session", lambda **_: session)
        yield sqs, outputs


def test_without_a_queue_all_are_listed_and_nothing_is_touched(
    stack: tuple[Any, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    sqs, outputs = stack
    sqs.send_message(QueueUrl=outputs["JobsDeadLettersUrl"], MessageBody="job")

    assert redrive.main(["demo"]) == 0
    assert redrive.main(["demo", "jobs", "--list"]) == 0

    lines = capsys.readouterr().out.split("\n")
    assert [line.split() for line in lines[:4]] == [
        ["utterances", "0"],
        ["jobs", "1"],
        ["undelivered", "0"],
        ["jobs", "1"],
    ]


def test_what_stays_is_named_by_its_id_and_never_by_its_content(
    stack: tuple[Any, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    sqs, outputs = stack
    sent = sqs.send_message(QueueUrl=outputs["UndeliveredQueueUrl"], MessageBody="secret")

    assert redrive.main(["demo", "undelivered"]) == 1

    out, err = capsys.readouterr()
    reason = "it is no event that EventBridge, Lambda or a function gave up"
    assert out.splitlines() == [
        "undelivered: 0 of 1 sent back",
        f"  {sent['MessageId']} stays: {reason}",
    ]
    assert "1 stays where it is" in err
    assert "secret" not in out + err


@pytest.mark.parametrize(("queue", "output"), [(n, pair[0]) for n, pair in redrive.QUEUES.items()])
def test_what_somebody_else_looks_at_fails_the_run_with_when_to_come_again(
    stack: tuple[Any, dict[str, str]],
    queue: str,
    output: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqs, outputs = stack
    without_moving(sqs, monkeypatch)
    for _ in range(2):
        sqs.send_message(QueueUrl=outputs[output], MessageBody="{}")
    sqs.receive_message(QueueUrl=outputs[output], MaxNumberOfMessages=1)

    assert redrive.main(["demo", queue, "--json"]) == 1

    found = json.loads(capsys.readouterr().out)
    assert "The other 1 is being looked at by somebody else" in found["error"]
    assert "again in a minute" in found["error"]


def test_a_second_run_within_a_minute_fails_with_the_reason(
    stack: tuple[Any, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    sqs, outputs = stack
    for _ in range(3):
        sqs.send_message(QueueUrl=outputs["UndeliveredQueueUrl"], MessageBody="{}")
    redrive.main(["demo", "undelivered"])
    capsys.readouterr()

    assert redrive.main(["demo", "undelivered"]) == 1

    out, err = capsys.readouterr()
    assert out == "undelivered: 0 of 3 sent back\n"
    assert "All 3 are being looked at" in err
    assert "again in a minute" in err


def test_ctrl_c_in_the_midst_prints_how_far_it_came_and_that_repeating_is_safe(
    stack: tuple[Any, dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqs, outputs = stack
    without_moving(sqs, monkeypatch)
    for _ in range(3):
        sqs.send_message(QueueUrl=outputs["JobsDeadLettersUrl"], MessageBody="job")
    delete = redrive._delete
    deleted: list[object] = []

    def interrupt(*message: Any) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(message)
        delete(*message)

    monkeypatch.setattr(redrive, "_delete", interrupt)

    assert redrive.main(["demo", "jobs"]) == 130

    out, err = capsys.readouterr()
    assert out == "jobs: 1 of 3 sent back\n"
    assert "Repeating it is safe" in err


def resources_of(**stack: object) -> dict[str, str]:
    """Look for the queues in a stack."""
    cloudformation = boto3.client("cloudformation")
    described = {
        "StackName": "cloudscribe-demo-data",
        "CreationTime": datetime.now(UTC),
        "StackStatus": "CREATE_COMPLETE",
        **stack,
    }
    with Stubber(cloudformation) as stub:
        stub.add_response(
            "describe_stacks", {"Stacks": [described]}, {"StackName": "cloudscribe-demo-data"}
        )
        return redrive.resources(cloudformation, "demo")


def test_the_queues_are_found_by_the_outputs_of_the_stack() -> None:
    urls = {name: f"url of {name}" for pair in redrive.QUEUES.values() for name in pair if name}
    outputs = [{"OutputKey": name, "OutputValue": url} for name, url in urls.items()]

    assert resources_of(Outputs=outputs) == urls


@pytest.mark.parametrize(
    "stack", [{}, {"Outputs": [{"OutputKey": "JobsQueueUrl", "OutputValue": "url"}]}]
)
def test_a_stack_without_the_outputs_is_refused_with_what_to_do(stack: dict[str, Any]) -> None:
    with pytest.raises(NotRedriven, match=r"no outputs JobsDeadLettersUrl, .*: deploy it"):
        resources_of(**stack)


def test_the_region_is_that_of_aws_region_as_in_other_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    regions: list[str] = []

    def look(cloudformation: Any, _environment: str) -> dict[str, str]:
        regions.append(cloudformation.meta.region_name)
        raise NotRedriven("There is none.")

    monkeypatch.setattr(redrive, "resources", look)
    for region in ("eu-central-1", ""):
        monkeypatch.setenv("AWS_REGION", region)
        assert redrive.main(["demo"]) == 1

    assert regions == ["eu-central-1", "us-east-1"]


@pytest.mark.parametrize("refused", [{"detail": {"object": {"key": "odd"}}}, {"x": "y" * 300_000}])
def test_what_a_function_put_aside_itself_goes_back_to_it(
    queues: Queues, refused: dict[str, Any]
) -> None:
    """The two sides of one message: `lambdas.undelivered` writes it."""
    context: Any = SimpleNamespace(aws_request_id="1", invoked_function_arn=f"{FUNCTION}:live")
    Undelivered(queues.sqs, queues.dead).keep({"id": "e", **refused}, ValueError("odd"), context)
    (message,) = queues.sqs.receive_message(QueueUrl=queues.dead)["Messages"]

    found = event_of(message)

    assert found is not None
    assert found[0] == FUNCTION.rpartition(":")[2]
    assert found[1]["id"] == "e"


def test_an_environment_that_is_not_deployed_there_is_refused_with_where_to_look() -> None:
    cloudformation = boto3.client("cloudformation")
    with Stubber(cloudformation) as stub:
        stub.add_client_error(
            "describe_stacks", "ValidationError", "Stack with id x does not exist"
        )
        with pytest.raises(NotRedriven, match=r"no stack cloudscribe-demo-data in us-east-1"):
            redrive.resources(cloudformation, "demo")


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(SystemExit) as left:
        redrive.main(["demo", "letters"])

    assert left.value.code == 2
