"""Operations: alarms, their thresholds, and the dashboard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import botocore.session
import pytest
from aws_cdk.assertions import Template
from botocore.validate import ParamValidator

from infra.commands import redrive
from infra.common.artifacts import Artifacts
from infra.config.gpu import GpuConfig
from infra.config.operations import OperationsConfig
from infra.config.recognition import TranscribeConfig
from infra.config.service import ServiceConfig, list_speech_services
from infra.config.translation import TranslationConfig
from infra.stacks import provision
from tests.support.environments import environment, live
from tests.support.templates import app as real_app
from tests.support.templates import built, one, resources

pytestmark = pytest.mark.unit

ALARM = "AWS::CloudWatch::Alarm"
WARM = {"warm_from": "cron(0 8 ? * MON-FRI *)", "warm_until": "cron(0 18 ? * MON-FRI *)"}


@dataclass(frozen=True, slots=True)
class Stacks:
    """A synthesised environment: its templates by the stack's part."""

    app: cdk.App
    name: str

    def __getitem__(self, part: str) -> Template:
        stack = self.app.node.find_child(f"cloudscribe-{self.name}-{part}")
        return Template.from_stack(cast("cdk.Stack", stack))

    def alarm(self, name: str) -> dict[str, Any]:
        """Return the properties of the alarm whose construct has this name."""
        return next(
            cast("dict[str, Any]", alarm["Properties"])
            for key, alarm in self["operations"].find_resources(ALARM).items()
            if key.startswith(f"Alarms{name}")
        )

    def alarm_on(self, queue: str, metric: str) -> dict[str, Any]:
        """Return the properties of the alarm on a queue, which its output names."""
        logical_id = self["data"].to_json()["Outputs"][f"{queue}Url"]["Value"]["Ref"]
        found = [
            alarm["Properties"]
            for alarm in resources(self["operations"], ALARM, MetricName=metric).values()
            if logical_id in json.dumps(alarm["Properties"]["Dimensions"])
        ]
        assert len(found) == 1
        return cast("dict[str, Any]", found[0])

    def metrics_of(self, name: str) -> set[str]:
        """Return the names of the metrics in an alarm's expression."""
        return {
            metric["MetricStat"]["Metric"]["MetricName"]
            for metric in self.alarm(name)["Metrics"]
            if "MetricStat" in metric
        }


def synthesised(folder: Path, **parts: Any) -> Stacks:
    built(folder / "build")
    page = folder / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<html></html>")
    (page / "assets" / "page.js").write_text("")
    app = real_app(folder)
    chosen = environment(**parts)
    provision(app, chosen, Artifacts(build=folder / "build", page=page))
    return Stacks(app, chosen.name)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    return synthesised(
        tmp_path_factory.mktemp("everything"),
        live=live(),
        gpu=GpuConfig(image="registry.example.org/gpu:1", idle_minutes=10),
        operations=OperationsConfig(alarm_email="ops@example.org", monthly_budget_usd=50),
    )


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    return synthesised(tmp_path_factory.mktemp("smallest"), operations=OperationsConfig())


@pytest.mark.parametrize("queue", ["UtterancesDeadLetters", "JobsDeadLetters", "UndeliveredQueue"])
def test_the_first_dead_letter_raises_an_alarm(everything: Stacks, queue: str) -> None:
    alarm = everything.alarm_on(queue, "ApproximateNumberOfMessagesVisible")

    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["EvaluationPeriods"] == 1
    assert alarm["AlarmActions"]


def test_an_utterance_that_waits_raises_an_alarm_within_minutes(everything: Stacks) -> None:
    alarm = everything.alarm_on("UtterancesQueue", "ApproximateAgeOfOldestMessage")

    assert alarm["Threshold"] == 300
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 300


def test_a_job_may_wait_longer_where_people_do_it(everything: Stacks, smallest: Stacks) -> None:
    with_gpu, without = (
        stacks.alarm_on("JobsQueue", "ApproximateAgeOfOldestMessage")["Threshold"]
        for stacks in (everything, smallest)
    )

    assert with_gpu == 6 * 3600
    assert without == 24 * 3600  # of the fortnight that SQS keeps it


def test_jobs_that_wait_for_a_set_time_are_late_only_after_it(tmp_path: Path) -> None:
    at_night = GpuConfig(image="registry.example.org/gpu:1", batch_at="cron(0 0 * * ? *)")
    stacks = synthesised(tmp_path, live=live(), gpu=at_night, operations=OperationsConfig())

    late = stacks.alarm_on("JobsQueue", "ApproximateAgeOfOldestMessage")

    assert late["Threshold"] == (24 + 6) * 3600
    (order,) = (
        rule["Properties"]["Targets"][0]["Input"]
        for rule in stacks["functions"].find_resources("AWS::Events::Rule").values()
        if rule["Properties"].get("ScheduleExpression") == "cron(0 0 * * ? *)"
    )
    assert json.loads(order) == {"workOff": True}


def test_silence_of_the_load_balancer_counts_as_nobody_serving(everything: Stacks) -> None:
    alarm = everything.alarm("NobodyServes")

    assert alarm["MetricName"] == "HealthyHostCount"
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert alarm["TreatMissingData"] == "breaching"


def test_finals_that_stay_in_a_task_raise_an_alarm(everything: Stacks) -> None:
    alarm = everything.alarm("FinalsWait")

    assert alarm["Namespace"] == "Cloudscribe/test"
    assert alarm["MetricName"] == "OutboxAge"
    assert alarm["Statistic"] == "Maximum"  # the worst task, not the average one
    assert "Dimensions" not in alarm  # the service sends it without any


def test_refused_writes_raise_an_alarm(everything: Stacks) -> None:
    assert everything.metrics_of("TableRefuses") == {"WriteThrottleEvents", "SystemErrors"}
    alarm = everything.alarm("TableRefuses")
    # The newest minutes are filled with zeros until their figures come.
    assert alarm["EvaluationPeriods"] >= alarm["DatapointsToAlarm"] + 2


def test_a_gpu_without_work_raises_an_alarm_after_it_should_have_stopped(
    everything: Stacks,
) -> None:
    alarm = everything.alarm("GpuWithoutWork")

    assert everything.metrics_of("GpuWithoutWork") == {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",  # who has a job in hand is not without work
        "RecordingsTranscribed",  # nor who is given recordings beside the queue
        "GroupInServiceInstances",
    }
    # idle_minutes, two looks of the batch worker, and what ECS takes to let a machine go; in whole
    # periods of five minutes
    assert 0 <= alarm["EvaluationPeriods"] * 5 - (10 + 2 * 1 + 30) < 5


def test_a_gpu_that_is_kept_ready_may_be_without_work_but_not_around_the_clock(
    tmp_path: Path,
) -> None:
    stacks = synthesised(
        tmp_path,
        live=live(),
        gpu=GpuConfig(image="registry.example.org/gpu:1", **WARM),
        operations=OperationsConfig(),
    )
    alarm = stacks.alarm("GpuWithoutWork")

    periods = {m["MetricStat"]["Period"] for m in alarm["Metrics"] if "MetricStat" in m}

    assert periods == {3600}
    assert alarm["EvaluationPeriods"] == 23


def test_jobs_that_nobody_does_alarm_within_half_an_hour_also_where_a_machine_runs(
    everything: Stacks,
) -> None:
    alarm = everything.alarm("GpuMissing")

    # Whether machines run does not matter: a task that cannot start does no job either.
    assert everything.metrics_of("GpuMissing") == {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "MachinesWanted",
    }
    assert alarm["DatapointsToAlarm"] * 5 == 30
    assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] + 1


@pytest.mark.parametrize(
    ("wanted", "working", "waiting", "alarms"),
    [
        (1, 0, 3, True),  # no machine comes, or its task dies again and again
        (0, 0, 3, False),  # they are meant to wait: for others, or for their hour
        (1, 2, 3, False),
        (1, 0, 0, False),
    ],
)
def test_only_jobs_for_which_a_machine_is_wanted_alarm(
    everything: Stacks, *, wanted: int, working: int, waiting: int, alarms: bool
) -> None:
    (expression,) = (
        metric["Expression"]
        for metric in everything.alarm("GpuMissing")["Metrics"]
        if "Expression" in metric
    )
    arithmetic = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, _: value,
        "REPEAT": None,
        "wanted": wanted,
        "working": working,
        "waiting": waiting,
    }
    value = eval(  # noqa: S307 - our own expression, which is Python's but for AND
        expression.replace("AND", "and"), {"__builtins__": {}}, arithmetic
    )

    assert (value > 0) is alarms


def test_what_is_not_there_is_not_watched(smallest: Stacks) -> None:
    template = json.dumps(smallest["operations"].to_json())

    assert "HealthyHostCount" not in template
    assert "GroupInServiceInstances" not in template
    assert "AWS::Budgets::Budget" not in template


@pytest.mark.parametrize("part", ["operations", "functions", "live"])
def test_every_alarm_notifies_people_and_describes_its_cause(everything: Stacks, part: str) -> None:
    topic, _ = one(everything["data"], "AWS::SNS::Topic")

    alarms = everything[part].find_resources(ALARM)

    assert alarms
    for alarm in alarms.values():
        assert topic in json.dumps(alarm["Properties"]["AlarmActions"])
        assert alarm["Properties"]["AlarmDescription"]


@pytest.mark.parametrize(
    ("letters", "queue"),
    [
        ("UtterancesDeadLetters", "utterances"),
        ("JobsDeadLetters", "jobs"),
        ("UndeliveredQueue", "undelivered"),
    ],
)
def test_an_alarm_about_what_was_given_up_names_the_command_that_sends_it_back(
    everything: Stacks, letters: str, queue: str
) -> None:
    alarm = everything.alarm_on(letters, "ApproximateNumberOfMessagesVisible")

    assert f"`make redrive ENV=test QUEUE={queue}`" in alarm["AlarmDescription"]
    assert queue in redrive.QUEUES


def test_our_alarms_name_the_first_step(everything: Stacks) -> None:
    for alarm in everything["operations"].find_resources(ALARM).values():
        assert " First: " in alarm["Properties"]["AlarmDescription"]


def test_only_alarms_and_budgets_of_this_account_publish_and_only_over_tls(
    everything: Stacks,
) -> None:
    _, policy = one(everything["data"], "AWS::SNS::TopicPolicy")
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    allowed = [each for each in statements if each["Effect"] == "Allow"]
    refused = [each for each in statements if each["Effect"] == "Deny"]

    assert {each["Principal"]["Service"] for each in allowed} == {
        "cloudwatch.amazonaws.com",
        "budgets.amazonaws.com",
    }
    for each in allowed:
        assert each["Action"] == "sns:Publish"
        own = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert each["Condition"]["StringEquals"] == own
    assert [each["Condition"] for each in refused] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_mail_goes_to_the_address_that_was_given(everything: Stacks, smallest: Stacks) -> None:
    _, mail = one(everything["data"], "AWS::SNS::Subscription")

    assert mail["Properties"]["Protocol"] == "email"
    assert mail["Properties"]["Endpoint"] == "ops@example.org"
    smallest["data"].resource_count_is("AWS::SNS::Subscription", 0)


BUDGET = "AWS::Budgets::Budget"


def limits(stacks: Stacks) -> dict[str, int]:
    """Return the budgets' limits, dollars, by what they filter."""
    found = {}
    for each in stacks["operations"].find_resources(BUDGET).values():
        budget = each["Properties"]["Budget"]
        assert budget["BudgetLimit"]["Unit"] == "USD"
        found[json.dumps(budget["CostFilters"])] = int(budget["BudgetLimit"]["Amount"])
    return found


TAGGED = '{"TagKeyValue": ["user:environment$test"]}'


def test_the_budget_counts_this_environment(everything: Stacks) -> None:
    assert limits(everything) == {TAGGED: 50}, "the embedded engine calls nobody"


@pytest.mark.parametrize(
    ("operations", "of_the_rest", "of_speech"),
    [
        (OperationsConfig(monthly_budget_usd=51), 26, 25),
        (OperationsConfig(monthly_budget_usd=50, speech_budget_usd=10), 40, 10),
    ],
)
def test_what_carries_no_tag_has_a_budget_by_its_service(
    tmp_path: Path, operations: OperationsConfig, of_the_rest: int, of_speech: int
) -> None:
    service = ServiceConfig(
        engine=TranscribeConfig(), translation=TranslationConfig(languages=("fr",))
    )
    stacks = synthesised(tmp_path, live=live(service=service), operations=operations)

    assert limits(stacks) == {
        TAGGED: of_the_rest,
        '{"Service": ["Amazon Transcribe", "Amazon Translate"]}': of_speech,
    }
    for budget in stacks["operations"].find_resources(BUDGET).values():
        as_the_model_of_budgets_has_it(budget["Properties"])
        notified = {
            (each["Notification"]["NotificationType"], each["Notification"]["Threshold"])
            for each in budget["Properties"]["NotificationsWithSubscribers"]
        }
        assert notified == {("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)}


@pytest.mark.parametrize(
    ("service", "called"),
    [
        (ServiceConfig(), ()),
        (ServiceConfig(engine=TranscribeConfig()), ("Amazon Transcribe",)),
        (ServiceConfig(translation=TranslationConfig(languages=("fr",))), ("Amazon Translate",)),
        (
            ServiceConfig(translation=TranslationConfig(languages=("fr",), source="auto")),
            ("Amazon Translate", "Amazon Comprehend"),
        ),
    ],
)
def test_speech_is_budgeted_by_the_services_that_tasks_call(
    service: ServiceConfig, called: tuple[str, ...]
) -> None:
    assert list_speech_services(service) == called


def as_the_model_of_budgets_has_it(properties: dict[str, Any]) -> None:
    """Check a budget against AWS's own model of the service, as botocore publishes it."""
    model = botocore.session.get_session().get_service_model("budgets")
    limit = properties["Budget"]["BudgetLimit"]
    request = {
        "AccountId": "123456789012",
        "Budget": {
            **properties["Budget"],
            "BudgetName": "any",  # which CloudFormation makes
            "BudgetLimit": {**limit, "Amount": str(limit["Amount"])},
        },
        "NotificationsWithSubscribers": [
            {
                **each,
                "Subscribers": [
                    {**subscriber, "Address": "arn:aws:sns:any"}
                    for subscriber in each["Subscribers"]
                ],
            }
            for each in properties["NotificationsWithSubscribers"]
        ],
    }
    shape = model.operation_model("CreateBudget").input_shape
    assert shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


def test_the_operator_sees_what_alarms_are_about(everything: Stacks) -> None:
    pages = {
        key: json.dumps(page["Properties"]["DashboardBody"])
        for key, page in everything["operations"]
        .find_resources("AWS::CloudWatch::Dashboard")
        .items()
    }
    operator = next(page for key, page in pages.items() if "Operator" in key)
    business = next(page for key, page in pages.items() if "Business" in key)

    for name in (
        "ApproximateAgeOfOldestMessage",
        "HealthyHostCount",
        "OutboxAge",
        "WriteThrottleEvents",
        "GroupInServiceInstances",
        "CPUUtilization",
        "FinalDelay",
    ):
        assert name in operator
    for name in ("UtterancesStored", "OpenStreams", "RecordingsQueued", "SessionsWritten"):
        assert name in business
