from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from foundation.backoff import backoff
from infra.common.functions import FunctionSettings, VpcPlacement
from infra.config.data import DataConfig
from infra.config.functions import FunctionsConfig
from infra.config.gpu import GpuConfig
from infra.recordings.flow import RecordingFlow
from infra.recordings.store import RecordingStore
from infra.recordings.target import TranscriptionTarget
from lambdas.router.decide import FIRST_PAUSE, PATIENCE, RESERVE, RETRIES
from lambdas.session_combiner.combine import COMBINED_UP_TO, SECONDS_BESIDES, SECONDS_PER_MB
from tests.support import templates
from tests.support.templates import alias, one, resources
from transcripts.functions import SESSION_ENDED

pytestmark = pytest.mark.unit

FORTNIGHT = 14 * 24 * 3600
TOKEN = "{{resolve:secretsmanager:of-the-server}}"  # noqa: S105 - a reference, not a value
SERVICE_ARN = "arn:aws:ecs:us-east-1:111111111111:service/cluster/gpu"
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
#: What a failure destination takes.
REPORTS_FAILURE = {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}


@dataclass(frozen=True)
class Both:
    data: Template
    functions: Template


def target(stack: cdk.Stack) -> TranscriptionTarget:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["us-east-1a"],
        isolated_subnet_ids=["subnet-0123456789abcdef0"],
    )
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    return TranscriptionTarget(
        config=GpuConfig(
            image="registry.example/gpu:1",
            maximum_instances=3,
            jobs_to_start=4,
            longest_wait_minutes=30,
            speed=25,
            warm_from="cron(0 8 ? * MON-FRI *)",
            warm_until="cron(0 18 ? * MON-FRI *)",
        ),
        url="http://transcriber.internal:8000",
        token=TOKEN,
        router_placement=VpcPlacement(
            vpc=vpc,
            subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[group],
        ),
        cluster_name="cluster",
        service_name="gpu",
        service_arn=SERVICE_ARN,
    )


def synthesise(folder: Path, data: DataConfig, *, gpu: bool) -> Both:
    app = templates.app(folder)
    environment = cdk.Environment(region="us-east-1")
    low, high = (cdk.Stack(app, name, env=environment) for name in ("data", "functions"))
    store = RecordingStore(low, "Recordings", data=data)
    settings = FunctionSettings(
        functions=FunctionsConfig(canary=None, batch_worker_minutes=3),
        artifacts=templates.built(folder / "build"),
        namespace="Cloudscribe/test",
        layer=None,
    )
    RecordingFlow(
        high, "Flow", settings=settings, store=store, target=target(high) if gpu else None
    )
    return Both(Template.from_stack(low), Template.from_stack(high))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Both:
    data = DataConfig(protected=False, recording_days=7)
    return synthesise(tmp_path_factory.mktemp("plain"), data, gpu=False)


@pytest.fixture(scope="module")
def with_gpu(tmp_path_factory: pytest.TempPathFactory) -> Both:
    data = DataConfig(protected=True, recording_days=None)
    return synthesise(tmp_path_factory.mktemp("gpu"), data, gpu=True)


def bucket(template: Template) -> tuple[str, dict[str, Any]]:
    """The bucket of recordings, not that of its access log."""
    every = resources(template, "AWS::S3::Bucket")
    ((name, found),) = (
        pair for pair in every.items() if "NotificationConfiguration" in pair[1]["Properties"]
    )
    return name, found


def rules(template: Template, function: str) -> list[dict[str, Any]]:
    """The rules that invoke a function's alias."""
    arn = {"Ref": alias(template, function)}
    every = [each["Properties"] for each in resources(template, "AWS::Events::Rule").values()]
    return [each for each in every if any(target["Arn"] == arn for target in each["Targets"])]


def event_rule(template: Template, function: str, source: str) -> dict[str, Any]:
    """The pattern by which a function receives events from `source`."""
    (found,) = (
        each["EventPattern"]
        for each in rules(template, function)
        if each.get("EventPattern", {}).get("source") == [source]
    )
    return cast("dict[str, Any]", found)


def is_invoked(template: Template, function: str, key: str) -> bool:
    """Return whether a function is invoked for an object that was created at `key`."""
    pattern = event_rule(template, function, "aws.s3")
    shapes = {"wildcard": "{}", "prefix": "{}*", "suffix": "*{}"}
    return any(
        fnmatch.fnmatchcase(key, shapes[kind].format(text))
        for each in pattern["detail"]["object"]["key"]
        for kind, text in each.items()
    )


def undelivered(both: Both) -> str:
    """The logical id of the queue of events that nobody could deal with."""
    value = both.data.find_outputs("UndeliveredQueueUrl")["UndeliveredQueueUrl"]["Value"]
    return cast("str", value["Ref"])


# --- what is kept ---------------------------------------------------------------------------


def test_recordings_are_private_encrypted_and_not_sent_in_the_clear(
    plain: Both, with_gpu: Both
) -> None:
    for template in (plain.data, with_gpu.data):
        every = resources(template, "AWS::S3::Bucket")
        for each in every.values():
            assert set(each["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
            assert "BucketEncryption" in each["Properties"]
        assert templates.refuses_plain_http(template, "AWS::S3::BucketPolicy") == set(every)


def test_what_is_uploaded_is_on_the_event_bus_without_a_function_that_may_change_buckets(
    plain: Both,
) -> None:
    _, found = bucket(plain.data)

    assert found["Properties"]["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert not resources(plain.data, "AWS::Lambda::Function")


def test_recordings_go_after_the_chosen_days_and_broken_uploads_after_one(plain: Both) -> None:
    _, found = bucket(plain.data)
    lifecycle = found["Properties"]["LifecycleConfiguration"]["Rules"]

    assert {"ExpirationInDays": 7, "Status": "Enabled"} in lifecycle
    assert any(
        each.get("AbortIncompleteMultipartUpload") == {"DaysAfterInitiation": 1}
        for each in lifecycle
    )


def test_protected_recordings_are_kept_and_a_mistake_can_be_undone(with_gpu: Both) -> None:
    _, found = bucket(with_gpu.data)
    lifecycle = found["Properties"]["LifecycleConfiguration"]["Rules"]

    assert found["DeletionPolicy"] == found["UpdateReplacePolicy"] == "Retain"
    assert found["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert found["Properties"]["LoggingConfiguration"]["DestinationBucketName"]
    assert not any("ExpirationInDays" in each for each in lifecycle)


def test_unprotected_recordings_go_with_their_stack(plain: Both) -> None:
    assert bucket(plain.data)[1]["DeletionPolicy"] == "Delete"


def test_a_job_that_fails_three_times_waits_a_fortnight_to_be_looked_at(plain: Both) -> None:
    queues = resources(plain.data, "AWS::SQS::Queue")
    (jobs,) = (each for each in queues.values() if "RedrivePolicy" in each["Properties"])
    target = jobs["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]

    assert jobs["Properties"]["RedrivePolicy"]["maxReceiveCount"] == 6
    assert jobs["Properties"]["VisibilityTimeout"] == 15 * 60
    assert queues[target]["Properties"]["MessageRetentionPeriod"] == FORTNIGHT
    assert templates.refuses_plain_http(plain.data, "AWS::SQS::QueuePolicy") == set(queues)


def test_only_rules_of_this_account_may_add_undelivered_events(plain: Both) -> None:
    queue = undelivered(plain)
    _, policy = one(plain.data, "AWS::SQS::QueuePolicy", Queues=[{"Ref": queue}])
    allowed = [
        each
        for each in policy["Properties"]["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    ]

    (statement,) = allowed
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    source = json.dumps(statement["Condition"]["ArnLike"]["aws:SourceArn"])
    assert "AWS::AccountId" in source
    assert ":rule/*" in source


def test_operators_and_the_launcher_find_the_parts_by_their_outputs(plain: Both) -> None:
    names = {"RecordingsBucketName", "JobsQueueUrl", "JobsDeadLettersUrl", "UndeliveredQueueUrl"}

    assert names <= set(plain.data.find_outputs("*"))


# --- which events invoke which function -------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "users/ann/audio/sessions/monday/chunk-001.webm",
        "users/ann/audio/sessions/monday/chunk-12345.wav",
        "uploads/meeting.mp3",
        "uploads/2026/11/meeting",
    ],
)
def test_recordings_invoke_the_router(plain: Both, key: str) -> None:
    assert is_invoked(plain.functions, "router", key)
    assert not is_invoked(plain.functions, "session_combiner", key)


@pytest.mark.parametrize(
    "key",
    [
        "users/ann/transcripts/monday-chunk-001.json",
        "users/ann/transcripts/monday.json",
        "transcripts/uploads/meeting.mp3.json",
        "users/ann/audio/sessions/monday/metadata.json",
    ],
)
def test_transcripts_do_not_invoke_the_router(plain: Both, key: str) -> None:
    assert not is_invoked(plain.functions, "router", key)


@pytest.mark.parametrize(
    "key",
    [
        "users/a/transcripts/s-chunk-1.json",
        "users/a/transcripts/s-chunk-1.failed",
        "users/a/audio/sessions/s/metadata.json",
    ],
)
def test_the_parts_of_sessions_invoke_the_combiner(plain: Both, key: str) -> None:
    assert is_invoked(plain.functions, "session_combiner", key)
    assert not is_invoked(plain.functions, "router", key)


@pytest.mark.parametrize("suffix", [".json", ".srt", ".vtt", ".txt", ".ended"])
def test_files_of_the_combiner_do_not_invoke_it(plain: Both, suffix: str) -> None:
    assert not is_invoked(plain.functions, "session_combiner", f"users/a/transcripts/s{suffix}")


def test_an_event_of_an_application_ends_a_session_of_our_bucket(plain: Both) -> None:
    pattern = event_rule(plain.functions, "session_combiner", "cloudscribe")

    assert pattern["detail-type"] == [SESSION_ENDED]
    assert bucket(plain.data)[0] in json.dumps(pattern["detail"])
    # The router's rule asks for other fields, so it does not match.
    asked = event_rule(plain.functions, "router", "cloudscribe")["detail"]["$or"]
    assert all("bucket" not in each for each in asked)


@pytest.mark.parametrize("function", ["router", "session_combiner"])
def test_only_objects_created_in_our_bucket_count(plain: Both, function: str) -> None:
    pattern = event_rule(plain.functions, function, "aws.s3")

    assert pattern["detail-type"] == ["Object Created"]
    (name,) = pattern["detail"]["bucket"]["name"]
    assert bucket(plain.data)[0] in json.dumps(name)


def test_applications_may_ask_in_either_shape_but_about_our_bucket_only(plain: Both) -> None:
    shapes = event_rule(plain.functions, "router", "cloudscribe")["detail"]["$or"]

    flat = next(each["s3_bucket"] for each in shapes if "s3_bucket" in each)
    nested = next(each["s3Location"]["bucket"] for each in shapes if "s3Location" in each)
    assert bucket(plain.data)[0] in json.dumps(flat)
    assert flat == nested


def test_the_batch_worker_looks_as_often_as_was_chosen(with_gpu: Both) -> None:
    expressions = {each["ScheduleExpression"] for each in rules(with_gpu.functions, "batch_worker")}

    assert "rate(3 minutes)" in expressions


def test_without_machines_nobody_looks_for_work(plain: Both) -> None:
    assert not rules(plain.functions, "batch_worker")
    assert not resources(plain.functions, "AWS::SQS::Queue")


def test_what_the_router_queues_wakes_the_batch_worker_once_at_a_time(with_gpu: Both) -> None:
    name, queue = one(with_gpu.functions, "AWS::SQS::Queue")
    _, mapping = one(with_gpu.functions, "AWS::Lambda::EventSourceMapping")
    _, worker = templates.function(with_gpu.functions, "batch_worker")
    _, router = templates.function(with_gpu.functions, "router")

    assert queue["Properties"]["FifoQueue"] is True
    # Lambda refuses a queue that hands a message out again while a run may still have it.
    assert queue["Properties"]["VisibilityTimeout"] >= worker["Properties"]["Timeout"]
    assert mapping["Properties"]["EventSourceArn"] == {"Fn::GetAtt": [name, "Arn"]}
    assert "Live" in json.dumps(mapping["Properties"]["FunctionName"])
    assert router["Properties"]["Environment"]["Variables"]["WAKE_QUEUE_URL"] == {"Ref": name}


def test_the_router_wakes_and_the_batch_worker_is_woken_and_neither_does_the_other(
    with_gpu: Both,
) -> None:
    name, _ = one(with_gpu.functions, "AWS::SQS::Queue")
    of_router = templates.rights(with_gpu.functions, "router")
    of_worker = templates.rights(with_gpu.functions, "batch_worker")

    assert name in str(of_router["sqs:SendMessage"])
    assert "sqs:ReceiveMessage" not in of_router
    assert all(name in resource for resource in of_worker["sqs:ReceiveMessage"])
    assert name not in str(of_worker["sqs:SendMessage"])


# --- what happens on failure ----------------------------------------------------------------------


def test_every_event_that_a_rule_cannot_hand_over_is_tried_again_and_then_kept(
    with_gpu: Both,
) -> None:
    queue = undelivered(with_gpu)
    for rule in resources(with_gpu.functions, "AWS::Events::Rule").values():
        for target in rule["Properties"]["Targets"]:
            assert 0 < target["RetryPolicy"]["MaximumRetryAttempts"] <= 185
            assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 24 * 3600
            assert queue in json.dumps(target["DeadLetterConfig"])


@pytest.mark.parametrize("function", ["router", "session_combiner", "batch_worker"])
def test_every_event_on_which_a_function_fails_is_tried_twice_more_and_then_kept(
    plain: Both, function: str
) -> None:
    named = {"Ref": templates.function(plain.functions, function)[0]}
    _, config = one(plain.functions, "AWS::Lambda::EventInvokeConfig", FunctionName=named)

    assert config["Properties"]["MaximumRetryAttempts"] == 2
    assert undelivered(plain) in json.dumps(config["Properties"]["DestinationConfig"]["OnFailure"])
    assert alias(plain.functions, function) in json.dumps(config["Properties"]["Qualifier"])
    assert templates.rights(plain.functions, function).keys() >= REPORTS_FAILURE


# --- who may do what --------------------------------------------------------------------------


def test_only_rules_may_invoke_the_functions_and_only_their_alias(plain: Both) -> None:
    aliases = [
        {"Ref": alias(plain.functions, name)}
        for name in ("router", "session_combiner", "batch_worker")
    ]
    for permission in resources(plain.functions, "AWS::Lambda::Permission").values():
        assert permission["Properties"]["Principal"] == "events.amazonaws.com"
        assert permission["Properties"]["FunctionName"] in aliases
        assert "SourceArn" in permission["Properties"]


def test_the_router_sends_jobs_and_looks_whether_there_is_a_transcript(plain: Both) -> None:
    may = templates.rights(plain.functions, "router")

    # Without ListBucket S3 would answer 403 for transcripts that are not there yet.
    assert may.keys() == LOGS | REPORTS_FAILURE | {"s3:GetObject", "s3:ListBucket"}
    assert len(may["sqs:SendMessage"]) == 2  # jobs, and events on which it fails
    read = str(may["s3:GetObject"])
    for outcome in ("/users/*/transcripts/*-chunk-*.failed", "/transcripts/uploads/*"):
        assert outcome in read
    assert "/audio/" not in read
    assert "*" not in str(may["s3:ListBucket"] | may["sqs:SendMessage"])


@pytest.mark.parametrize("name", ["router", "session_combiner"])
def test_who_refuses_events_may_put_them_among_the_undelivered(plain: Both, name: str) -> None:
    _, function = templates.function(plain.functions, name)
    url = json.dumps(function["Properties"]["Environment"]["Variables"]["UNDELIVERED_QUEUE_URL"])

    assert undelivered(plain) in url
    assert undelivered(plain) in str(templates.rights(plain.functions, name)["sqs:SendMessage"])


def test_only_for_a_server_the_router_asks_how_large_recordings_are(with_gpu: Both) -> None:
    read = str(templates.rights(with_gpu.functions, "router")["s3:GetObject"])

    assert "/users/*/audio/sessions/*/chunk-*" in read
    assert "/uploads/*" in read


def test_the_combiner_reads_what_sessions_are_made_of_and_writes_what_is_made_of_them(
    plain: Both,
) -> None:
    may = templates.rights(plain.functions, "session_combiner")

    s3 = {"s3:GetObject", "s3:ListBucket", "s3:PutObject"}
    assert may.keys() == LOGS | REPORTS_FAILURE | s3
    assert "/users/*/audio/sessions/*/metadata.json" in str(may["s3:GetObject"])
    assert "/users/*/transcripts/*" in str(may["s3:GetObject"])
    for suffix in (".json", ".srt", ".vtt", ".txt", ".ended"):
        assert f"/users/*/transcripts/*{suffix}" in str(may["s3:PutObject"])
    assert "/audio/" not in str(may["s3:PutObject"])
    assert "/uploads/" not in str(may["s3:PutObject"])


def test_without_machines_the_batch_worker_only_counts_jobs(plain: Both) -> None:
    may = templates.rights(plain.functions, "batch_worker")
    _, function = templates.function(plain.functions, "batch_worker")

    assert may.keys() == LOGS | REPORTS_FAILURE
    assert "cloudwatch:GetMetricStatistics" not in may
    assert len(may["sqs:SendMessage"]) == 1
    assert "SERVICE" not in function["Properties"]["Environment"]["Variables"]


def test_the_batch_worker_may_change_the_number_of_machines_of_exactly_one_service(
    with_gpu: Both,
) -> None:
    may = templates.rights(with_gpu.functions, "batch_worker")
    _, function = templates.function(with_gpu.functions, "batch_worker")
    variables = function["Properties"]["Environment"]["Variables"]

    ecs = {action: things for action, things in may.items() if action.startswith("ecs:")}
    assert ecs.keys() == {
        "ecs:DescribeServices",
        "ecs:UpdateService",
        "ecs:TagResource",
        "ecs:UntagResource",
    }
    assert all(things == {json.dumps(SERVICE_ARN)} for things in ecs.values())
    assert variables["CLUSTER"] == "cluster"
    assert variables["SERVICE"] == "gpu"
    assert variables["MAXIMUM_INSTANCES"] == "3"
    assert variables["JOBS_PER_INSTANCE"] == "50"
    assert variables["IDLE_MINUTES"] == "10"
    assert variables["JOBS_TO_START"] == "4"
    assert variables["LONGEST_WAIT_MINUTES"] == "30"
    assert variables["AT_SET_TIMES"] == "false"


def test_machines_are_kept_ready_between_the_chosen_times(with_gpu: Both) -> None:
    orders = {
        rule["ScheduleExpression"]: json.loads(rule["Targets"][0]["Input"])
        for rule in rules(with_gpu.functions, "batch_worker")
        if "Input" in rule["Targets"][0]
    }

    assert orders == {
        "cron(0 8 ? * MON-FRI *)": {"keepWarm": True},
        "cron(0 18 ? * MON-FRI *)": {"keepWarm": False},
    }


def test_the_router_stands_where_it_reaches_the_machines(with_gpu: Both, plain: Both) -> None:
    _, function = templates.function(with_gpu.functions, "router")
    _, elsewhere = templates.function(plain.functions, "router")

    assert function["Properties"]["VpcConfig"] == {
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
        "SubnetIds": ["subnet-0123456789abcdef0"],
    }
    variables = function["Properties"]["Environment"]["Variables"]
    assert variables["GPU_URL"] == "http://transcriber.internal:8000"
    assert variables["AUTH_TOKEN"] == TOKEN
    assert float(variables["SERVER_SPEED"]) == 25
    assert "VpcConfig" not in elsewhere["Properties"]
    assert "GPU_URL" not in elsewhere["Properties"]["Environment"]["Variables"]


def test_the_router_is_made_only_when_it_may_have_interfaces_in_the_network(
    with_gpu: Both,
) -> None:
    _, function = templates.function(with_gpu.functions, "router")
    (policy,) = (
        name
        for name, each in resources(with_gpu.functions, "AWS::IAM::Policy").items()
        if "ec2:CreateNetworkInterface" in json.dumps(each)
    )

    assert policy in function["DependsOn"]


def test_the_batch_worker_has_time_for_every_call_at_its_slowest(with_gpu: Both) -> None:
    _, function = templates.function(with_gpu.functions, "batch_worker")

    # Queue, service, two orders, metric, number, and tags set and removed; 24 s each, as
    # lambdas/batch_worker explains.
    assert function["Properties"]["Timeout"] > 8 * 24


def test_the_router_gives_up_before_the_network_forgets_its_connection(with_gpu: Both) -> None:
    _, function = templates.function(with_gpu.functions, "router")

    # Nitro v6 forgets a TCP connection without a packet after 350 s.
    assert function["Properties"]["Timeout"] - RESERVE < 350


def test_the_router_may_wait_for_the_server_and_the_queue_besides(plain: Both) -> None:
    _, function = templates.function(plain.functions, "router")

    pauses = (backoff(n, first=FIRST_PAUSE, jitter=0) for n in range(1, RETRIES + 1))
    assert function["Properties"]["Timeout"] >= RESERVE + PATIENCE + sum(pauses)


def test_the_combiner_has_what_the_largest_session_takes(plain: Both) -> None:
    _, function = templates.function(plain.functions, "session_combiner")

    needed = SECONDS_BESIDES + SECONDS_PER_MB * COMBINED_UP_TO / 1e6
    assert function["Properties"]["Timeout"] > 1.2 * needed


def test_a_burst_finds_no_bound_but_the_accounts(plain: Both) -> None:
    """A bound would move the waiting from SQS to where events are given up after two hours."""
    for function in resources(plain.functions, "AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in function["Properties"]
