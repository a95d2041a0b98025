"""Every environment as `app.py` describes it: what has to hold of all templates together.

Whether cdk-nag is content needs no test of its own: the fixture's synth fails on every finding.
"""

from __future__ import annotations

import json
import math
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app
from infra.common.artifacts import ROOT
from infra.config import own_values
from infra.config.deployable import EXAMPLE_ACCOUNT
from speech.engines.registry import ENGINES
from speech.engines.transcribe.options import parse_choices
from tests.support.assembly import ADMINISTRATORS, Assembly
from tests.support.templates import built, settings

pytestmark = pytest.mark.unit

#: Actions that AWS grants for `*` only; each is explained where it stands.
WITHOUT_RESOURCE = {
    "cloudwatch:GetMetricStatistics",
    "comprehend:DetectDominantLanguage",
    "ecr:GetAuthorizationToken",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecs:DiscoverPollEndpoint",
    "transcribe:StartMedicalStreamTranscriptionWebSocket",
    "transcribe:StartStreamTranscriptionWebSocket",
    "translate:TranslateText",
}
#: Names that would keep two environments, or a replacement, from existing side by side.
PHYSICAL_NAMES = {
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolClient": "ClientName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
}


def test_cfn_lint_has_no_findings(assembly: Assembly) -> None:
    from tests.support.synthesis import lint  # noqa: PLC0415 - every worker would import cfn-lint

    assert list(assembly.folder.glob("*.template.json"))
    assert lint(assembly.folder, "us-east-1") == []


def test_nobody_may_do_everything(assembly: Assembly) -> None:
    statements = list(assembly.statements())

    assert statements
    for where, statement in statements:
        for action in _listed(statement["Action"]):
            assert not action.startswith("*"), where
            assert not action.endswith(":*"), where


def test_nothing_may_be_done_to_everything_but_what_aws_knows_no_other_way(
    assembly: Assembly,
) -> None:
    for where, statement in assembly.statements():
        if "*" in _listed(statement["Resource"]):
            assert set(_listed(statement["Action"])) <= WITHOUT_RESOURCE, where


@pytest.mark.parametrize(
    ("name", "streams", "starts"),
    [
        # Whoever may speak: four streams, or 15 s charged each second.
        ("demo", range(4, 5), 1.0),
        ("solo", range(4, 5), 1.0),
        ("prod", range(20, ENGINES["transcribe"].count_streams(1) + 1), 0.8 * 25),
    ],
)
def test_demo_and_prod_recognise_through_transcribe_within_an_accounts_quota(
    assembly: Assembly, name: str, streams: range, starts: float
) -> None:
    ((_, task),) = assembly.resources("AWS::ECS::TaskDefinition", name)
    (container,) = task["Properties"]["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}
    most = [
        target["Properties"]["MaxCapacity"]
        for _, target in assembly.resources("AWS::ApplicationAutoScaling::ScalableTarget", name)
    ]

    assert variables["ENGINE"] == "transcribe"
    tasks = (most or [1])[0]
    assert int(variables["SLOTS"]) * tasks in streams
    assert float(variables["TRANSCRIBE_STARTS_PER_SECOND"]) * tasks == pytest.approx(
        starts, rel=0.001
    )


def test_what_every_stream_of_an_environment_gets_makes_sense_to_the_service(
    assembly: Assembly,
) -> None:
    tasks = list(assembly.resources("AWS::ECS::TaskDefinition"))
    assert tasks

    for where, task in tasks:
        for container in task["Properties"]["ContainerDefinitions"]:
            variables = {each["Name"]: each["Value"] for each in container.get("Environment", [])}
            options = json.loads(variables.get("TRANSCRIBE_OPTIONS", "{}"))
            assert parse_choices(options, language="en-US"), where


def test_who_deploys_may_see_whether_the_gpu_server_runs_and_takes_no_jobs_from_it(
    assembly: Assembly,
) -> None:
    may = {
        action
        for where, statement in assembly.statements()
        if "full-delivery" in where
        for action in _listed(statement["Action"])
    }

    assert "ecs:DescribeServices" in may
    assert "sqs:ReceiveMessage" not in may
    outputs = assembly.stacks("full")["cloudscribe-full-gpu"]["Outputs"]
    assert {"GpuCluster", "GpuService"} <= outputs.keys()


def test_only_cloudfront_is_public(assembly: Assembly) -> None:
    for where, balancer in assembly.resources("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        assert balancer["Properties"]["Scheme"] == "internal", where
    for where, bucket in assembly.resources("AWS::S3::Bucket"):
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}, where
    assert not list(assembly.resources("AWS::Lambda::Url"))
    assert not list(assembly.resources("AWS::ApiGateway::RestApi"))


def test_nobody_outside_gets_past_a_security_group(assembly: Assembly) -> None:
    rules = [
        (where, rule)
        for where, group in assembly.resources("AWS::EC2::SecurityGroup")
        for rule in group["Properties"].get("SecurityGroupIngress", [])
    ] + [
        (where, each["Properties"])
        for where, each in assembly.resources("AWS::EC2::SecurityGroupIngress")
    ]

    assert rules
    for where, rule in rules:
        assert rule.get("CidrIp") != "0.0.0.0/0", where
        assert "CidrIpv6" not in rule, where


def test_whatever_holds_data_refuses_requests_in_clear(assembly: Assembly) -> None:
    for stack, template in assembly.stacks().items():
        guarded = _refusing_clear_text(template)
        for name, resource in template["Resources"].items():
            if resource["Type"] in {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic"}:
                assert name in guarded, f"{stack}/{name}"


def test_what_prod_holds_outlives_its_stacks_and_what_the_demo_holds_goes(
    assembly: Assembly,
) -> None:
    for kind in ("AWS::Cognito::UserPool", "AWS::DynamoDB::Table", "AWS::S3::Bucket"):
        # A live stream's entry matters for minutes.
        kept = [each for each in assembly.resources(kind, "prod") if "Streams" not in each[0]]
        assert kept
        for where, resource in kept:
            assert resource["DeletionPolicy"] == "Retain", where
            assert resource["UpdateReplacePolicy"] == "Retain", where
        for where, resource in assembly.resources(kind, "demo"):
            assert resource["DeletionPolicy"] == "Delete", where
    tables = dict(assembly.resources("AWS::DynamoDB::Table", "prod"))
    assert len(tables) == 3  # conversations, who has which right to them, and live streams
    for where, table in tables.items():
        assert table["Properties"].get("DeletionProtectionEnabled", "Streams" in where), where
    for of, protection in (("prod", "ACTIVE"), ("demo", "INACTIVE")):
        ((_, pool),) = assembly.resources("AWS::Cognito::UserPool", of)
        assert pool["Properties"]["DeletionProtection"] == protection


def test_nothing_that_is_deployed_often_holds_data(assembly: Assembly) -> None:
    for stack, template in assembly.stacks().items():
        kinds = {
            resource["Type"]
            for resource in template["Resources"].values()
            # A wake that is minutes old is no data: it is dropped.
            if resource.get("Properties", {}).get("MessageRetentionPeriod", math.inf) > 600
        }
        if not stack.endswith("-data"):
            held = {"AWS::Cognito::UserPool", "AWS::DynamoDB::Table", "AWS::SQS::Queue"}
            assert not kinds & held, stack
        else:
            assert not kinds & {"AWS::Lambda::Function", "AWS::ECS::Service"}, stack


def test_environments_can_stand_side_by_side(assembly: Assembly) -> None:
    for kind, name in PHYSICAL_NAMES.items():
        for where, resource in assembly.resources(kind):
            assert name not in resource.get("Properties", {}), where


def test_the_laptop_runs_what_the_demo_runs(assembly: Assembly) -> None:
    """Alarms' topic, layer and their like are added; nothing is exchanged.

    The API of accounts is not among the stacks of the laptop: `local_cloud.accounts` sets it up.
    """

    def functions(of: str) -> dict[str, tuple[str, str]]:
        return {
            resource["Properties"]["Handler"]: (
                resource["Properties"]["Code"]["S3Key"],
                str(resource["Properties"]["Timeout"]),
            )
            for _, resource in assembly.resources("AWS::Lambda::Function", of)
            if "Handler" in resource["Properties"]
            and resource["Properties"]["Handler"].startswith("lambdas.")
        }

    api = "lambdas.api.handler.handler"
    local, demo, prod = (functions(of) for of in ("local", "demo", "prod"))
    assert local
    assert demo.keys() - local.keys() == {api}
    assert demo == prod == local | {api: demo[api]}


def test_the_stacks_of_prod_are_not_deleted_by_mistake(assembly: Assembly) -> None:
    manifest = json.loads((assembly.folder / "manifest.json").read_text())
    protected = {
        name: artifact["properties"].get("terminationProtection", False)
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    }

    assert {on for name, on in protected.items() if "-prod-" in name} == {True}
    assert {on for name, on in protected.items() if "-demo-" in name} == {False}


def test_what_may_be_deleted_has_no_load_balancer_that_refuses_to_be(tmp_path: Path) -> None:
    context = {**settings(), "environment": "prod", "prod": {"termination_protection": False}}
    made = cdk.App(context=context, outdir=str(tmp_path / "cdk.out"))
    app.build(made, built(tmp_path / "built"))
    made.synth()

    ((_, balancer),) = Assembly(tmp_path / "cdk.out").resources(
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
    attributes = balancer["Properties"]["LoadBalancerAttributes"]
    assert {"Key": "deletion_protection.enabled", "Value": "false"} in attributes


def test_only_the_chosen_environment_is_described(tmp_path: Path) -> None:
    made = cdk.App(context={"environment": "demo"}, outdir=str(tmp_path / "cdk.out"))

    app.build(made, built(tmp_path / "built"))

    stacks = [child.node.id for child in made.node.children if isinstance(child, cdk.Stack)]
    assert stacks
    assert all(stack.startswith("cloudscribe-demo-") for stack in stacks)


def test_a_load_balancer_that_stands_for_yours_is_pointed_out(assembly: Assembly) -> None:
    manifest = (assembly.folder / "manifest.json").read_text()
    metadata = "".join(path.read_text() for path in assembly.folder.glob("*-live.metadata.json"))

    assert "stands for one of yours" in manifest + metadata


def test_an_empty_account_deploys_solo_with_nothing_but_an_address(assembly: Assembly) -> None:
    metadata = [
        path.read_text() for path in assembly.folder.glob("cloudscribe-solo-*.metadata.json")
    ]
    templates = json.dumps(assembly.stacks("solo"))

    assert ADMINISTRATORS["solo"] == {"access": {"administrator_email": "first@solo.example.org"}}
    assert metadata
    # `make deploy` takes a warning for an error.
    assert not any("aws:cdk:warning" in each for each in metadata)
    assert EXAMPLE_ACCOUNT not in templates
    assert "example.com" not in templates


@pytest.mark.parametrize("name", ["demo", "solo", "prod"])
def test_people_sign_in_wherever_there_is_a_page(assembly: Assembly, name: str) -> None:
    ((_, pool),) = assembly.resources("AWS::Cognito::UserPool", name)
    ((_, first),) = assembly.resources("AWS::Cognito::UserPoolUser", name)
    ((_, task),) = assembly.resources("AWS::ECS::TaskDefinition", name)
    ((_, page),) = assembly.resources("AWS::CloudFront::Distribution", name)
    (container,) = task["Properties"]["ContainerDefinitions"]

    assert pool["Properties"]["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert first["Properties"]["Username"] == f"first@{name}.example.org"
    # With this table the service refuses whoever has no ticket.
    assert "ACCESS_TABLE" in {each["Name"] for each in container["Environment"]}
    behaviors = page["Properties"]["DistributionConfig"]["CacheBehaviors"]
    assert [each["PathPattern"] for each in behaviors] == ["/api/app/*", "/api/*"]


@pytest.mark.parametrize("name", ["demo", "solo", "prod"])
def test_a_deployment_asks_for_the_first_administrator_before_it_builds(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What it says is exactly what has to be written.
    monkeypatch.setattr(own_values, "read", lambda _: {})
    assert app.main([name]) == 1
    said = capsys.readouterr().err
    assert f"{name}: nobody could sign in" in said
    assert json.dumps({name: {"access": {"administrator_email": "you@example.org"}}}) in said

    dedicated = {"live": {"load_balancer": {"kind": "dedicated"}}} if name == "demo" else {}
    monkeypatch.setattr(own_values, "read", lambda _: {name: {**ADMINISTRATORS[name], **dedicated}})
    assert app.main([name]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("own", "code", "said"),
    [
        ({"access": {"kind": "open", "everyone_may_spend": True}}, 1, "stands for one of yours"),
        ({"access": {"kind": "open"}}, 1, "everybody who knows the address of the page"),
        ({"access": {"administrator_email": "nobody"}}, 1, "administrator_email"),
    ],
)
def test_a_deployment_asks_for_no_administrator_where_there_are_none(
    own: dict[str, Any],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(own_values, "read", lambda _: {"demo": own})

    assert app.main(["demo"]) == code
    found = capsys.readouterr().err
    assert said in found
    assert "nobody could sign in" not in found


def test_make_looks_before_it_builds_and_only_where_it_builds() -> None:
    def plan(*more: str) -> str:
        return subprocess.run(
            ["make", "-n", *more, "deploy", "ENV=demo"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    here = plan()
    assert here.index("app.py demo") < here.index("build/.layer") < here.index("cdk --no-notices")
    # A pipeline deploys an assembly, and has no Python of ours.
    there = plan("-o", "build", "CDK_APP=build/assembly/demo")
    assert "app.py" not in there
    assert "deploy --all --strict" in there


def test_values_of_ones_own_come_from_the_context(tmp_path: Path) -> None:
    own = {"demo": {"region": "eu-central-1", "live": {"load_balancer": {"kind": "dedicated"}}}}
    made = cdk.App(context={"environment": "demo", **own}, outdir=str(tmp_path / "cdk.out"))

    app.build(made, built(tmp_path / "built"))

    regions = {child.region for child in made.node.children if isinstance(child, cdk.Stack)}
    assert regions == {"eu-central-1"}


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (
            {"environment": "nope"},
            "app.py describes no environment 'nope': known are local, demo, solo, prod\n",
        ),
        (
            {"environment": "dmeo"},
            "app.py describes no environment 'dmeo': did you mean demo?\n",
        ),
        (
            {"environment": "demo", "demo": {"region": "mars-1", "gpu": {}}},
            "demo cannot be provisioned:\n  region: 'mars-1' is not a region of AWS\n  gpu.image: ",
        ),
    ],
)
def test_what_cannot_be_provisioned_is_explained(
    context: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # As the CDK's command line hands it over. The CDK's Node process has its environment already.
    monkeypatch.setattr(cdk, "App", partial(cdk.App, context=context, outdir=str(tmp_path)))

    assert app.main() == 1
    assert capsys.readouterr().err.startswith(message)


def _refusing_clear_text(template: dict[str, Any]) -> set[str]:
    """Return the logical ids of what has a policy that denies requests without TLS."""
    guarded: set[str] = set()
    for resource in template["Resources"].values():
        document = resource.get("Properties", {}).get("PolicyDocument", {})
        for statement in document.get("Statement", []):
            insecure = {"Bool": {"aws:SecureTransport": "false"}}
            if statement["Effect"] == "Deny" and statement.get("Condition") == insecure:
                targets = resource["Properties"]
                things = [
                    *targets.get("Queues", []),
                    *targets.get("Topics", []),
                    *([targets["Bucket"]] if "Bucket" in targets else []),
                ]
                guarded |= {thing["Ref"] for thing in things}
    return guarded


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
