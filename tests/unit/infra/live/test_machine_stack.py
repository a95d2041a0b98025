"""Live captions without a load balancer: who reaches the machine, and what replaces it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from ecs_service.access.edge import EDGE_HEADER
from ecs_service.settings import Settings
from infra.aws.prefix_lists import CLOUDFRONT_ORIGIN_FACING
from infra.common.edge_secret import SECRET_HEADER
from infra.config.load_balancers import NoLoadBalancer
from infra.config.network import NetworkConfig
from infra.config.operations import OperationsConfig
from infra.config.recognition import TranscribeConfig
from infra.config.service import MACHINE_MEMORY_MIB, VIEWER_BYTES, ServiceConfig
from infra.live.task import OUTBOX_FOLDER, USER
from infra.stacks import provision
from tests.support.environments import environment, live
from tests.support.templates import app as real_app
from tests.support.templates import built, one, resources

pytestmark = pytest.mark.unit

SERVICE = ServiceConfig(engine=TranscribeConfig(quota=4), viewers=1000, drain_seconds=45)
INSTANCE = "AWS::EC2::Instance"


@dataclass(frozen=True, slots=True)
class Stacks:
    """A synthesised environment: its templates by the stack's part."""

    live: Template
    web: Template
    operations: Template

    @property
    def machine(self) -> tuple[str, dict[str, Any]]:
        return one(self.live, INSTANCE)

    @property
    def launch(self) -> dict[str, Any]:
        _, template = one(self.live, "AWS::EC2::LaunchTemplate")
        return cast("dict[str, Any]", template["Properties"]["LaunchTemplateData"])

    @property
    def script(self) -> list[str]:
        """What the machine runs first, line by line."""
        parts = self.launch["UserData"]["Fn::Base64"]["Fn::Join"][1]
        return "".join(part if isinstance(part, str) else "CLUSTER" for part in parts).splitlines()

    @property
    def task(self) -> dict[str, Any]:
        _, task = one(self.live, "AWS::ECS::TaskDefinition")
        return cast("dict[str, Any]", task["Properties"])

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.task["ContainerDefinitions"]
        return cast("dict[str, Any]", container)

    @property
    def api_origin(self) -> dict[str, Any]:
        _, distribution = one(self.web, "AWS::CloudFront::Distribution")
        (origin,) = (
            each
            for each in distribution["Properties"]["DistributionConfig"]["Origins"]
            if "VpcOriginConfig" in each
        )
        return cast("dict[str, Any]", origin)


def synthesised(folder: Path, **changes: Any) -> Stacks:
    app = real_app(folder)
    chosen = environment(
        live=live(load_balancer=NoLoadBalancer(**changes), service=SERVICE),
        operations=OperationsConfig(),
    )
    provision(app, chosen, built(folder / "build"))
    return Stacks(
        *(
            Template.from_stack(cast("cdk.Stack", app.node.find_child(f"cloudscribe-test-{part}")))
            for part in ("live", "web", "operations")
        )
    )


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    return synthesised(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def replaced(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    return synthesised(tmp_path_factory.mktemp("replaced"), machine=2)


# --- who reaches it -----------------------------------------------------------------------------


def test_cloudfront_enters_on_the_services_port_and_nobody_else(stacks: Stacks) -> None:
    (rule,) = stacks.live.find_resources("AWS::EC2::SecurityGroupIngress").values()
    (group,) = stacks.live.find_resources("AWS::EC2::SecurityGroup").values()

    assert rule["Properties"]["SourcePrefixListId"] == CLOUDFRONT_ORIGIN_FACING["eu-west-1"]
    assert (rule["Properties"]["FromPort"], rule["Properties"]["ToPort"]) == (8080, 8080)
    assert "SecurityGroupIngress" not in group["Properties"]
    assert {each["ToPort"] for each in group["Properties"]["SecurityGroupEgress"]} == {443, 8443}


def test_the_distribution_of_somebody_else_lacks_the_secret(stacks: Stacks) -> None:
    name, _ = one(stacks.live, "AWS::SecretsManager::Secret")
    (secret,) = stacks.container["Secrets"]
    (header,) = stacks.api_origin["OriginCustomHeaders"]

    assert secret["Name"] == "EDGE_SECRET"
    assert {"Ref": name} in secret["ValueFrom"]["Fn::Join"][1]
    assert header["HeaderName"] == SECRET_HEADER == EDGE_HEADER
    assert "{{resolve:secretsmanager:" in json.dumps(header["HeaderValue"])


def test_cloudfront_reaches_the_machine_inside_awss_network(stacks: Stacks) -> None:
    _, origin = one(stacks.web, "AWS::CloudFront::VpcOrigin")
    configuration = origin["Properties"]["VpcOriginEndpointConfig"]

    assert ":instance/" in json.dumps(configuration["Arn"])
    assert (configuration["HTTPPort"], configuration["OriginProtocolPolicy"]) == (8080, "http-only")


@pytest.mark.parametrize(("gateways", "subnet"), [(0, "Public"), (1, "Inner")])
def test_with_a_nat_gateway_the_machine_stands_in_private(
    gateways: int, subnet: str, tmp_path: Path
) -> None:
    _, machine = synthesised(tmp_path, network=NetworkConfig(nat_gateways=gateways)).machine
    (interface,) = machine["Properties"]["NetworkInterfaces"]

    assert f"{subnet}Subnet1" in interface["SubnetId"]["Fn::ImportValue"]
    assert interface["AssociatePublicIpAddress"] is (gateways == 0)


def test_nobody_logs_in(stacks: Stacks) -> None:
    name, machine = stacks.machine
    text = json.dumps([stacks.launch, machine])

    assert name
    assert "KeyName" not in text
    assert "ssm:" not in json.dumps(stacks.live.find_resources("AWS::IAM::Policy"))
    assert not [
        role
        for role in stacks.live.find_resources("AWS::IAM::Role").values()
        if "ManagedPolicyArns" in role["Properties"]
    ]


def test_a_container_cannot_have_the_machines_rights(stacks: Stacks) -> None:
    assert stacks.launch["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    assert stacks.task["NetworkMode"] == "bridge", "one hop further away than the machine"


# --- what it costs ------------------------------------------------------------------------------


def test_the_machine_never_costs_more_than_its_price(stacks: Stacks) -> None:
    (disk,) = stacks.launch["BlockDeviceMappings"]

    assert stacks.launch["InstanceType"] == "t4g.nano"
    assert stacks.launch["CreditSpecification"] == {"CpuCredits": "standard"}
    assert disk["Ebs"] == {
        "DeleteOnTermination": True,
        "Encrypted": True,
        "VolumeSize": 8,
        "VolumeType": "gp3",
    }


def test_the_budget_finds_machine_and_disk_by_their_tag(stacks: Stacks) -> None:
    _, machine = stacks.machine

    assert {"Key": "environment", "Value": "test"} in machine["Properties"]["Tags"]
    assert machine["Properties"]["PropagateTagsToVolumeOnCreation"] is True


# --- what replaces it ---------------------------------------------------------------------------


def test_a_newer_image_replaces_no_machine_that_runs(stacks: Stacks) -> None:
    _, machine = stacks.machine

    # EC2 resolves it at launch; CloudFormation sees nothing change.
    assert stacks.launch["ImageId"].startswith("resolve:ssm:/aws/service/ami-amazon-linux-latest/")
    assert stacks.launch["ImageId"].endswith("-arm64")
    # And a template that changes has another version.
    assert machine["Properties"]["LaunchTemplate"]["Version"] == "1"
    assert "ImageId" not in machine["Properties"]


def test_another_number_is_another_machine_with_a_vpc_origin_of_its_own(
    stacks: Stacks, replaced: Stacks
) -> None:
    for part, kind in (
        ("live", INSTANCE),
        ("live", "AWS::EC2::LaunchTemplate"),
        ("web", "AWS::CloudFront::VpcOrigin"),
    ):
        before, after = (set(resources(getattr(each, part), kind)) for each in (stacks, replaced))
        assert before.isdisjoint(after), kind


def test_the_page_does_not_hold_on_to_a_machine(stacks: Stacks) -> None:
    exported = [
        output
        for output in stacks.live.find_outputs("*").values()
        if "Export" in output and "Machine1" in json.dumps(output["Value"])
    ]

    assert exported == []


# --- how it starts ------------------------------------------------------------------------------


def test_swap_comes_before_what_needs_it(stacks: Stacks) -> None:
    swap = next(n for n, line in enumerate(stacks.script) if "swapon" in line)
    packages = next(n for n, line in enumerate(stacks.script) if line.startswith("dnf install"))

    assert swap < packages
    assert any("/etc/fstab" in line for line in stacks.script), "also after a restart"


def test_the_script_is_one_that_bash_understands(stacks: Stacks) -> None:
    bash = shutil.which("bash")
    assert bash

    checked = subprocess.run(
        [bash, "-n"], input="\n".join(stacks.script), capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(("script", "reported"), [("true", "0"), ("false", "1")])
def test_how_the_script_ended_is_what_cloudformation_gets(
    stacks: Stacks, script: str, reported: str
) -> None:
    bash = shutil.which("bash")
    assert bash
    trap = stacks.script[2].replace("/opt/aws/bin/cfn-signal", "echo")

    ended = subprocess.run(
        [bash, "-c", "\n".join([stacks.script[1], trap, script])],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.startswith(f"--exit-code {reported} ")


def test_a_start_that_fails_fails_the_deployment(stacks: Stacks) -> None:
    name, machine = stacks.machine

    assert stacks.script[1] == "set -euo pipefail"
    assert f"--resource {name} " in stacks.script[2]
    assert stacks.script[2].startswith("trap '/opt/aws/bin/cfn-signal --exit-code $? ")
    assert machine["CreationPolicy"]["ResourceSignal"]["Count"] == 1


def test_nothing_waits_for_the_agent_which_waits_for_the_script(stacks: Stacks) -> None:
    assert stacks.script[-1] == "systemctl enable --now --no-block ecs.service"


def test_finals_that_a_task_has_not_sent_are_there_for_the_next_one(stacks: Stacks) -> None:
    outbox = {"Name": "outbox", "Host": {"SourcePath": OUTBOX_FOLDER}}
    user, group = USER.split(":")

    assert outbox in stacks.task["Volumes"]
    assert f"install -d -m 700 -o {user} -g {group} {OUTBOX_FOLDER}" in stacks.script


# --- what runs on it ----------------------------------------------------------------------------


def test_the_old_task_gives_up_the_port_before_the_new_one_takes_it(stacks: Stacks) -> None:
    _, service = one(stacks.live, "AWS::ECS::Service")
    deployment = service["Properties"]["DeploymentConfiguration"]
    (port,) = stacks.container["PortMappings"]

    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (0, 100)
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert port["HostPort"] == port["ContainerPort"] == 8080


def test_the_task_and_its_viewers_fit_into_the_machine(stacks: Stacks) -> None:
    settings = {each["Name"]: each["Value"] for each in stacks.container["Environment"]}

    assert stacks.container["Memory"] == MACHINE_MEMORY_MIB < 512
    assert stacks.container["MemoryReservation"] < MACHINE_MEMORY_MIB
    assert int(settings["MAX_VIEWERS"]) * VIEWER_BYTES < MACHINE_MEMORY_MIB * 2**20 / 4


def test_the_service_understands_its_settings(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in stacks.container["Environment"]:
        value = each["Value"]
        monkeypatch.setenv(each["Name"], value if isinstance(value, str) else "elsewhere")
    monkeypatch.setenv("EDGE_SECRET", "s" * 48)

    settings = Settings()

    assert settings.capacity == 4
    assert settings.edge_secret
    assert "s" * 48 not in repr(settings)


# --- who notices --------------------------------------------------------------------------------


def alarm(template: Template, name: str) -> dict[str, Any]:
    (found,) = (
        each["Properties"]
        for key, each in template.find_resources("AWS::CloudWatch::Alarm").items()
        if name in key
    )
    return cast("dict[str, Any]", found)


def test_a_service_without_a_heartbeat_counts_as_nobody_serving(stacks: Stacks) -> None:
    nobody = alarm(stacks.operations, "NobodyServes")

    assert (nobody["Namespace"], nobody["MetricName"]) == ("Cloudscribe/test", "OpenStreams")
    assert nobody["Statistic"] == "SampleCount"
    assert (nobody["Threshold"], nobody["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert nobody["TreatMissingData"] == "breaching"


def test_a_machine_that_hangs_is_restarted_and_people_are_notified(stacks: Stacks) -> None:
    hangs = alarm(stacks.live, "MachineHangs")

    assert hangs["MetricName"] == "StatusCheckFailed_Instance"
    assert hangs["Dimensions"] == [{"Name": "InstanceId", "Value": {"Ref": "Machine1"}}]
    assert hangs["AlarmActions"][0] == "arn:aws:automate:eu-west-1:ec2:reboot"
    assert "Topic" in json.dumps(hangs["AlarmActions"][1])


def test_finals_that_wait_are_noticed_as_elsewhere(stacks: Stacks) -> None:
    assert alarm(stacks.operations, "FinalsWait")["MetricName"] == "OutboxAge"


def test_nothing_looks_for_a_load_balancer(stacks: Stacks) -> None:
    for template in (stacks.live, stacks.operations):
        assert "ElasticLoadBalancing" not in json.dumps(template.to_json())
        assert "ApplicationELB" not in json.dumps(template.to_json())


def test_the_operator_sees_the_machine(stacks: Stacks) -> None:
    pages = json.dumps(stacks.operations.find_resources("AWS::CloudWatch::Dashboard"))

    for name in ("CPUCreditBalance", "StatusCheckFailed", "SlotsInUse", "FinalDelay", "OutboxAge"):
        assert name in pages
