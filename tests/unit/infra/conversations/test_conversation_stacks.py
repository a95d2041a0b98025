from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infra.common.artifacts import Artifacts, MissingArtifact
from infra.common.functions import FunctionSettings, make_layer
from infra.config.data import DataConfig
from infra.config.functions import Canary, FunctionsConfig
from infra.conversations.processor import TranscriptProcessor
from infra.conversations.store import ConversationStore
from tests.support import templates
from tests.support.tables import streams_table_definition, table_definition
from tests.support.templates import one, resources
from transcripts.conversations import EXPIRY
from transcripts.streams import items

pytestmark = pytest.mark.unit

FORTNIGHT = 14 * 24 * 3600


@dataclass(frozen=True)
class Both:
    data: Template
    functions: Template


def synthesise(
    folder: Path, artifacts: Artifacts, data: DataConfig, chosen: FunctionsConfig
) -> Both:
    app = templates.app(folder)
    low, high = cdk.Stack(app, "data"), cdk.Stack(app, "functions")
    store = ConversationStore(low, "Conversations", data=data)
    settings = FunctionSettings(
        functions=chosen,
        artifacts=artifacts,
        namespace="Cloudscribe/test",
        layer=make_layer(high, chosen, artifacts),
    )
    TranscriptProcessor(high, "Processor", settings=settings, store=store, utterance_days=7)
    return Both(Template.from_stack(low), Template.from_stack(high))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return templates.built(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Both:
    chosen = FunctionsConfig(canary=None, with_dependencies=False, processor_concurrency=2)
    return synthesise(
        tmp_path_factory.mktemp("local"), artifacts, DataConfig(protected=False), chosen
    )


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Both:
    return synthesise(
        tmp_path_factory.mktemp("prod"),
        artifacts,
        DataConfig(protected=True, point_in_time_recovery_days=35),
        FunctionsConfig(canary=Canary(minutes=10)),
    )


def queues(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The queue and its dead letters."""
    every = resources(template, "AWS::SQS::Queue")
    queue = next(each for each in every.values() if "RedrivePolicy" in each["Properties"])
    target = queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    return queue["Properties"], every[target]["Properties"]


def tables(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of utterances and the ledger of streams."""
    every = resources(template, "AWS::DynamoDB::Table").values()
    (utterances,) = [each for each in every if "StreamSpecification" in each["Properties"]]
    (ledger,) = [each for each in every if "GlobalSecondaryIndexes" in each["Properties"]]
    return utterances, ledger


def test_the_ledger_has_the_keys_and_the_index_that_the_code_relies_on(local: Both) -> None:
    _, ledger = tables(local.data)
    expected = streams_table_definition("any")

    for name in ("KeySchema", "GlobalSecondaryIndexes", "BillingMode"):
        assert ledger["Properties"][name] == expected[name]
    found = ledger["Properties"]["AttributeDefinitions"]
    assert {frozenset(each.items()) for each in found} == {
        frozenset(each.items()) for each in expected["AttributeDefinitions"]
    }
    assert ledger["Properties"]["TimeToLiveSpecification"]["AttributeName"] == items.EXPIRY


def test_the_table_has_the_keys_and_the_stream_that_the_code_relies_on(local: Both) -> None:
    table, _ = tables(local.data)
    expected = table_definition("any")

    assert table["Properties"]["KeySchema"] == expected["KeySchema"]
    assert table["Properties"]["AttributeDefinitions"] == expected["AttributeDefinitions"]
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["Properties"]["TimeToLiveSpecification"] == {
        "AttributeName": EXPIRY,
        "Enabled": True,
    }


def test_a_protected_table_outlives_its_stack_and_can_be_set_back(prod: Both) -> None:
    table, _ = tables(prod.data)

    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": 35,
    }


def test_an_unprotected_table_goes_with_its_stack(local: Both) -> None:
    table, _ = tables(local.data)

    assert table["DeletionPolicy"] == "Delete"
    assert table["Properties"]["DeletionProtectionEnabled"] is False


def test_a_message_that_fails_five_times_waits_a_fortnight_to_be_looked_at(local: Both) -> None:
    queue, dead_letters = queues(local.data)

    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert queue["MessageRetentionPeriod"] == FORTNIGHT
    assert dead_letters["MessageRetentionPeriod"] == FORTNIGHT


def test_a_message_is_not_delivered_again_while_its_function_may_still_run(local: Both) -> None:
    queue, _ = queues(local.data)
    _, function = templates.function(local.functions, "transcript_processor")

    assert queue["VisibilityTimeout"] >= 6 * function["Properties"]["Timeout"]


def test_queues_are_encrypted_and_refuse_plain_http(local: Both) -> None:
    every = resources(local.data, "AWS::SQS::Queue")

    assert all(each["Properties"]["SqsManagedSseEnabled"] for each in every.values())
    assert templates.refuses_plain_http(local.data, "AWS::SQS::QueuePolicy") == set(every)


def test_the_queue_invokes_the_alias_and_only_failed_messages_come_again(local: Both) -> None:
    _, mapping = one(local.functions, "AWS::Lambda::EventSourceMapping")
    alias = templates.alias(local.functions, "transcript_processor")

    assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["Properties"]["BatchSize"] == 10
    assert mapping["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 2}
    named = mapping["Properties"]["FunctionName"]["Fn::Join"][1]
    assert named[0]["Fn::Select"][1]["Fn::Split"][1] == {"Ref": alias}
    assert named[1] == ":live"


def test_the_processor_may_put_items_take_messages_and_write_its_log_only(local: Both) -> None:
    may = templates.rights(local.functions, "transcript_processor")
    queue = may["sqs:ReceiveMessage"]

    assert may.keys() == {
        "dynamodb:PutItem",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    }
    assert all(len(things) == 1 and "*" not in str(things) for things in may.values())
    assert all(may[action] == queue for action in may if action.startswith("sqs:"))


def test_the_processor_gets_the_retention_of_utterances(local: Both) -> None:
    _, function = templates.function(local.functions, "transcript_processor")
    variables = function["Properties"]["Environment"]["Variables"]

    assert variables["RETENTION_DAYS"] == "7"
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "Cloudscribe/test"


def test_operators_and_the_launcher_find_the_parts_by_their_outputs(local: Both) -> None:
    assert {"ConversationsTableName", "UtterancesQueueUrl", "UtterancesDeadLettersUrl"} <= set(
        local.data.find_outputs("*")
    )


def test_without_a_canary_nothing_needs_codedeploy_and_without_a_layer_none_is_made(
    local: Both,
) -> None:
    kinds = {each["Type"] for each in local.functions.to_json()["Resources"].values()}

    assert not any(kind.startswith("AWS::CodeDeploy") for kind in kinds)
    assert "AWS::Lambda::LayerVersion" not in kinds


def test_a_canary_goes_back_to_the_old_version_when_the_new_one_makes_errors(prod: Both) -> None:
    _, group = one(prod.functions, "AWS::CodeDeploy::DeploymentGroup")
    alarm, _ = one(prod.functions, "AWS::CloudWatch::Alarm")

    assert (
        group["Properties"]["DeploymentConfigName"]
        == "CodeDeployDefault.LambdaCanary10Percent10Minutes"
    )
    assert group["Properties"]["AlarmConfiguration"]["Alarms"] == [{"Name": {"Ref": alarm}}]
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["Properties"]["AutoRollbackConfiguration"]["Events"]


def test_errors_whose_figures_come_minutes_late_still_roll_a_canary_back(prod: Both) -> None:
    _, alarm = one(prod.functions, "AWS::CloudWatch::Alarm")

    assert alarm["Properties"]["DatapointsToAlarm"] == 1
    assert alarm["Properties"]["EvaluationPeriods"] == 3


def test_functions_are_arm64_with_the_layer_and_an_old_layer_stays_for_old_versions(
    prod: Both,
) -> None:
    _, function = templates.function(prod.functions, "transcript_processor")
    name, layer = one(prod.functions, "AWS::Lambda::LayerVersion")

    assert function["Properties"]["Architectures"] == ["arm64"]
    assert function["Properties"]["Layers"] == [{"Ref": name}]
    assert layer["DeletionPolicy"] == "Retain"


def test_what_was_not_built_is_named_with_the_command_that_builds_it(tmp_path: Path) -> None:
    empty = Artifacts(build=tmp_path, page=tmp_path)

    with pytest.raises(MissingArtifact, match=r"layer is missing; `make build`"):
        synthesise(tmp_path, empty, DataConfig(protected=False), FunctionsConfig(canary=None))
