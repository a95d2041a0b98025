"""The GPU server's stack: how much runs, who reaches it, and what it may touch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from constructs import Construct

from gpu_server.work import worker
from infra.config.gpu import GpuConfig
from infra.gpu.image import MissingDockerfile, choose_image
from infra.gpu.server import PORT, GpuServer
from infra.recordings.store import JOB_ATTEMPTS

pytestmark = pytest.mark.unit

REPOSITORY = "111111111111.dkr.ecr.us-east-1.amazonaws.com/cloudscribe/gpu"


class ZonedStack(cdk.Stack):
    @property
    def availability_zones(self) -> list[str]:
        return ["us-east-1a", "us-east-1b"]


@dataclass(frozen=True, slots=True)
class PublicNetwork:
    """A network as GpuServer sees it: machines in public subnets, functions in isolated ones."""

    vpc: ec2.Vpc
    task_subnets: ec2.SubnetSelection
    inner_subnets: ec2.SubnetSelection
    public_addresses: bool


class Store(Construct):
    """A RecordingStore as GpuServer sees it."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(scope, "Recordings")
        self.bucket = s3.Bucket(self, "Bucket")
        self.jobs = sqs.Queue(self, "Jobs")


class Server:
    """A synthesised GPU server, and short ways to what is in it."""

    def __init__(self, gpu: GpuConfig, *, public_addresses: bool = True) -> None:
        app = cdk.App()
        env = cdk.Environment(region="us-east-1")
        vpc = ec2.Vpc(
            ZonedStack(app, "network", env=env),
            "Vpc",
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC),
                ec2.SubnetConfiguration(name="Inner", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        network = PublicNetwork(
            vpc=vpc,
            task_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            inner_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            public_addresses=public_addresses,
        )
        stack = ZonedStack(app, "cloudscribe-test-gpu", env=env)
        self.server = GpuServer(
            stack,
            "GpuServer",
            gpu=gpu,
            network=network,
            store=Store(ZonedStack(app, "data", env=env)),  # type: ignore[arg-type]  # bucket and jobs are all that is asked for
        )
        self.stack = stack
        self.template: dict[str, Any] = dict(Template.from_stack(stack).to_json())

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        resources = self.template["Resources"]
        return {name: value for name, value in resources.items() if value["Type"] == kind}

    def only(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind).values()
        properties: dict[str, Any] = found["Properties"]
        return properties

    def named(self, kind: str, fragment: str) -> str:
        """Return the logical id of what stands at a place in the tree."""
        (found,) = [name for name in self.all(kind) if fragment in name]
        return found

    def statements(self, fragment: str) -> list[dict[str, Any]]:
        """Return what a role may do."""
        policy = self.all("AWS::IAM::Policy")[self.named("AWS::IAM::Policy", fragment)]
        found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.only("AWS::ECS::TaskDefinition")["ContainerDefinitions"]
        container: dict[str, Any] = found
        return container

    @property
    def distribution(self) -> dict[str, Any]:
        """How the machines are bought."""
        policy = self.only("AWS::AutoScaling::AutoScalingGroup")["MixedInstancesPolicy"]
        found: dict[str, Any] = policy["InstancesDistribution"]
        return found

    @property
    def launch(self) -> dict[str, Any]:
        found: dict[str, Any] = self.only("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
        return found


def actions_of(statement: dict[str, Any]) -> set[str]:
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)


@pytest.fixture(scope="module")
def spot() -> Server:
    return Server(GpuConfig(image=f"{REPOSITORY}:1.2.3", maximum_instances=3))


@pytest.fixture(scope="module")
def on_demand() -> Server:
    return Server(
        GpuConfig(image="ghcr.io/example/gpu:1", spot=False, settings={"SLOTS": "2"}),
        public_addresses=False,
    )


# --- how much runs ---------------------------------------------------------------------------


def test_nothing_runs_until_somebody_asks_for_it(spot: Server) -> None:
    group = spot.only("AWS::AutoScaling::AutoScalingGroup")

    assert spot.only("AWS::ECS::Service")["DesiredCount"] == 0
    assert group["MinSize"] == "0"
    # Given one, each deployment would set it anew; without one it begins with the least.
    assert "DesiredCapacity" not in group


def test_machines_follow_tasks_up_to_the_limit(spot: Server) -> None:
    provider = spot.only("AWS::ECS::CapacityProvider")["AutoScalingGroupProvider"]

    assert spot.only("AWS::AutoScaling::AutoScalingGroup")["MaxSize"] == "3"
    assert provider["ManagedScaling"]["Status"] == "ENABLED"
    assert provider["ManagedScaling"]["TargetCapacity"] == 100


def test_no_machine_is_taken_from_under_a_task(spot: Server) -> None:
    provider = spot.only("AWS::ECS::CapacityProvider")["AutoScalingGroupProvider"]

    assert provider["ManagedTerminationProtection"] == "ENABLED"
    assert provider["ManagedDraining"] == "ENABLED"
    assert spot.only("AWS::AutoScaling::AutoScalingGroup")["NewInstancesProtectedFromScaleIn"]
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in json.dumps(spot.launch["UserData"])
    assert spot.container["StopTimeout"] == 120


def test_a_deployment_needs_no_second_gpu(spot: Server) -> None:
    deployment = spot.only("AWS::ECS::Service")["DeploymentConfiguration"]

    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (0, 100)


def test_spot_is_used_only_where_it_is_allowed(spot: Server, on_demand: Server) -> None:
    bought = "OnDemandPercentageAboveBaseCapacity"

    assert (spot.distribution[bought], spot.distribution["OnDemandBaseCapacity"]) == (0, 0)
    assert on_demand.distribution[bought] == 100


def test_machines_are_tried_in_order_of_preference(spot: Server) -> None:
    policy = spot.only("AWS::AutoScaling::AutoScalingGroup")["MixedInstancesPolicy"]

    kinds = [each["InstanceType"] for each in policy["LaunchTemplate"]["Overrides"]]

    assert kinds == ["g6.xlarge", "g5.xlarge", "g4dn.xlarge"]


def test_service_waits_until_its_cluster_knows_the_machines(spot: Server) -> None:
    (service,) = spot.all("AWS::ECS::Service").values()
    (association,) = spot.all("AWS::ECS::ClusterCapacityProviderAssociations")

    assert association in service["DependsOn"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"jobs_to_start": 0}, "jobs_to_start"),
        ({"jobs_to_start": 5}, "longest_wait_minutes"),
        ({"longest_wait_minutes": 1000}, "longest_wait_minutes"),
        ({"speed": 0.0}, "speed"),
        ({"model": "large v3; rm"}, "model"),
        ({"transcriber": "whisperx", "alignment_languages": ("english",)}, "alignment_languages"),
        ({"alignment_languages": ("de",)}, "alignment_languages"),
        ({"settings": {"QUEUE_URL": "https://elsewhere"}}, "settings.QUEUE_URL"),
        ({"settings": {"HF_TOKEN": "hf_secret"}}, "settings.HF_TOKEN"),
        ({"settings": {"DEVICE": "cpu"}}, "settings.DEVICE"),
        ({"settings": {"max_seconds": "1"}}, "settings.max_seconds"),
    ],
)
def test_settings_that_would_fail_later_are_refused(wrong: dict[str, Any], field: str) -> None:
    right = {"jobs_to_start": 5, "longest_wait_minutes": 30}

    assert list(GpuConfig(image="x:1", **right).problems()) == []
    assert {path for path, _ in GpuConfig(image="x:1", **wrong).problems()} == {field}


# --- who reaches it --------------------------------------------------------------------------


def test_only_the_router_reaches_the_server(spot: Server) -> None:
    router = spot.named("AWS::EC2::SecurityGroup", "RouterSecurityGroup")
    rules = spot.all("AWS::EC2::SecurityGroupIngress").values()

    (rule,) = [each["Properties"] for each in rules]

    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [router, "GroupId"]}
    assert (rule["FromPort"], rule["ToPort"]) == (PORT, PORT)
    for name, group in spot.all("AWS::EC2::SecurityGroup").items():
        assert ("SecurityGroupIngress" in group["Properties"]) == ("Endpoint" in name)


def test_router_runs_where_it_reaches_the_server_and_nobody_reaches_it(spot: Server) -> None:
    place = spot.server.router_placement

    (group,) = place.security_groups

    assert place.subnets.subnet_type == ec2.SubnetType.PRIVATE_ISOLATED
    assert spot.stack.resolve(group.security_group_id) == {
        "Fn::GetAtt": [spot.named("AWS::EC2::SecurityGroup", "RouterSecurityGroup"), "GroupId"]
    }


def test_url_is_the_private_name_under_which_tasks_are_registered(spot: Server) -> None:
    namespace = spot.only("AWS::ServiceDiscovery::PrivateDnsNamespace")["Name"]
    service = spot.only("AWS::ServiceDiscovery::Service")

    assert spot.server.url == f"http://{service['Name']}.{namespace}:{PORT}"
    assert service["DnsConfig"]["DnsRecords"][0]["Type"] == "A"
    # Names of Cloud Map are unique in an account, and so are those of stacks.
    assert namespace == "cloudscribe-test-gpu.internal"


def test_queues_are_reached_from_inside_by_everything_in_the_network(spot: Server) -> None:
    endpoint = spot.only("AWS::EC2::VPCEndpoint")
    groups = spot.all("AWS::EC2::SecurityGroup")
    group = groups[spot.named("AWS::EC2::SecurityGroup", "EndpointSecurityGroup")]

    (rule,) = group["Properties"]["SecurityGroupIngress"]

    assert endpoint["PrivateDnsEnabled"] is True
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    # The private name holds for the whole network, so the live service needs it as well.
    assert "CidrBlock" in json.dumps(rule["CidrIp"])


def test_endpoint_serves_queues_of_this_account_only(spot: Server) -> None:
    (statement,) = spot.only("AWS::EC2::VPCEndpoint")["PolicyDocument"]["Statement"]

    account = {"Ref": "AWS::AccountId"}

    assert statement["Condition"]["StringEquals"] == {
        "aws:PrincipalAccount": account,
        "aws:ResourceAccount": account,
    }
    assert not any("*" in action for action in statement["Action"])


# --- what it may touch -----------------------------------------------------------------------


def test_server_reads_audio_writes_outcomes_and_nothing_else(spot: Server) -> None:
    may = {
        action: json.dumps(statement["Resource"])
        for statement in spot.statements("TaskTaskRole")
        for action in actions_of(statement)
        if action.startswith("s3:")
    }

    # Without ListBucket S3 would answer 403 for transcripts that are not there yet.
    assert may.keys() == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}
    assert "/users/*/audio/sessions/*/chunk-*" in may["s3:GetObject"]
    assert "/uploads/*" in may["s3:GetObject"]
    for outcome in (
        "/users/*/transcripts/*-chunk-*.json",
        "/users/*/transcripts/*-chunk-*.failed",
        "/transcripts/uploads/*",
    ):
        assert outcome in may["s3:GetObject"]
        assert outcome in may["s3:PutObject"]
    assert "/audio/" not in may["s3:PutObject"]
    assert "/*" not in may["s3:ListBucket"]


def test_server_touches_no_other_bucket_or_queue(spot: Server) -> None:
    for statement in spot.statements("TaskTaskRole"):
        if actions_of(statement) == {"ecs:UpdateTaskProtection"}:
            continue
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            assert "data:ExportsOutput" in json.dumps(resource)


def test_server_takes_jobs_and_sends_none(spot: Server) -> None:
    actions = set[str]().union(*map(actions_of, spot.statements("TaskTaskRole")))

    assert {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"} <= actions
    assert "sqs:GetQueueAttributes" in actions  # it has to know a job's last attempt
    assert worker.ATTEMPTS == JOB_ATTEMPTS
    assert "sqs:SendMessage" not in actions


def test_a_task_protects_tasks_of_its_own_cluster_and_does_nothing_else_to_ecs(
    spot: Server,
) -> None:
    (cluster,) = spot.all("AWS::ECS::Cluster")

    (statement,) = (
        each
        for each in spot.statements("TaskTaskRole")
        if any(action.startswith("ecs:") for action in actions_of(each))
    )

    assert actions_of(statement) == {"ecs:UpdateTaskProtection"}
    assert cluster in json.dumps(statement["Resource"])
    assert ":task/" in json.dumps(statement["Resource"])


def test_machines_have_the_rights_of_their_agent_only(spot: Server) -> None:
    (role,) = [
        value["Properties"]
        for name, value in spot.all("AWS::IAM::Role").items()
        if "MachinesRole" in name
    ]

    assert "ManagedPolicyArns" not in role
    for statement in spot.statements("MachinesRole"):
        actions = actions_of(statement)
        assert all(action.startswith("ecs:") and "*" not in action for action in actions)
        assert statement["Resource"] != "*" or actions == {"ecs:DiscoverPollEndpoint"}


def test_a_container_cannot_borrow_its_machines_rights(spot: Server) -> None:
    assert "ECS_AWSVPC_BLOCK_IMDS=true" in json.dumps(spot.launch["UserData"])
    assert spot.launch["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }


def test_disks_are_encrypted_and_go_with_their_machine(spot: Server) -> None:
    for each in spot.launch["BlockDeviceMappings"]:
        assert each["Ebs"]["Encrypted"] is True
        assert each["Ebs"]["DeleteOnTermination"] is True


def test_an_image_of_gigabytes_is_pulled_at_the_machines_speed_and_not_given_up(
    spot: Server,
) -> None:
    (disk,) = (each["Ebs"] for each in spot.launch["BlockDeviceMappings"])
    user_data = json.dumps(spot.launch["UserData"])

    assert disk["VolumeType"] == "gp3"
    # gp3 does a quarter of a MiB/s for each request a second, and has 3,000 of those.
    assert 125 < disk["Throughput"] <= 0.25 * disk.get("Iops", 3000)
    for setting in (
        "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT=10m",
        "ECS_IMAGE_PULL_BEHAVIOR=once",
        "ECS_CONTAINER_CREATE_TIMEOUT=10m",
        "ECS_CONTAINER_START_TIMEOUT=10m",
    ):
        assert f"{setting} >> /etc/ecs/ecs.config" in user_data


def test_machines_have_public_addresses_only_without_another_way_out(
    spot: Server, on_demand: Server
) -> None:
    (with_it,), (without,) = spot.launch["NetworkInterfaces"], on_demand.launch["NetworkInterfaces"]

    assert with_it["AssociatePublicIpAddress"] is True
    assert without["AssociatePublicIpAddress"] is False


# --- the image -------------------------------------------------------------------------------


def test_container_gets_a_gpu_and_what_it_has_to_know(spot: Server) -> None:
    settings = {each["Name"] for each in spot.container["Environment"]}

    assert spot.container["ResourceRequirements"] == [{"Type": "GPU", "Value": "1"}]
    # botocore reads the first; the CDK adds the second, which other SDKs read.
    regions = {"AWS_DEFAULT_REGION", "AWS_REGION"}
    assert settings == regions | {"DEVICE", "HOST", "PORT", "QUEUE_URL", "RECORDINGS_BUCKET"}


def test_a_machine_whose_gpu_cannot_be_used_is_no_slow_server(spot: Server) -> None:
    assert {"Name": "DEVICE", "Value": "cuda"} in spot.container["Environment"]


def test_container_gets_the_settings_that_somebody_chose(on_demand: Server) -> None:
    assert {"Name": "SLOTS", "Value": "2"} in on_demand.container["Environment"]


def test_a_server_that_answers_lives_also_while_it_loads_its_model(
    spot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, program = spot.container["HealthCheck"]["Command"]
    asked: list[tuple[str, int, str]] = []

    class Connection:
        def __init__(self, host: str, port: int, *, timeout: float) -> None:
            assert timeout < spot.container["HealthCheck"]["Timeout"]
            self.where = (host, port)

        def request(self, _method: str, path: str) -> None:
            asked.append((*self.where, path))

        def getresponse(self) -> object:
            return object()

    monkeypatch.setattr("http.client.HTTPConnection", Connection)
    exec(program)  # noqa: S102 - what the container runs

    assert asked == [("127.0.0.1", PORT, "/health")]


def test_router_and_server_share_a_secret_that_is_in_no_template(spot: Server) -> None:
    (name,) = spot.all("AWS::SecretsManager::Secret")
    (given,) = spot.container["Secrets"]

    assert given["Name"] == "AUTH_TOKEN"
    assert name in json.dumps(given["ValueFrom"])
    token = json.dumps(spot.stack.resolve(spot.server.token))
    assert "{{resolve:secretsmanager:" in token
    assert name in token
    assert "SecretString" not in spot.only("AWS::SecretsManager::Secret")


def test_only_who_starts_the_container_reads_the_secret(spot: Server) -> None:
    def reads(fragment: str) -> bool:
        return any(
            "secretsmanager:GetSecretValue" in actions_of(each)
            for each in spot.statements(fragment)
        )

    assert reads("TaskExecutionRole")
    assert not reads("TaskTaskRole")


def test_an_image_of_ones_own_registry_may_be_pulled(spot: Server) -> None:
    pulling = [
        statement
        for statement in spot.statements("TaskExecutionRole")
        if "ecr:BatchGetImage" in actions_of(statement)
    ]

    assert "1.2.3" in json.dumps(spot.container["Image"])
    assert len(pulling) == 1
    assert "repository/cloudscribe/gpu" in json.dumps(pulling[0]["Resource"])


def test_an_image_of_another_registry_takes_no_rights(on_demand: Server) -> None:
    actions = set[str]().union(*map(actions_of, on_demand.statements("TaskExecutionRole")))

    assert on_demand.container["Image"] == "ghcr.io/example/gpu:1"
    assert not any(action.startswith("ecr:") for action in actions)


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    (tmp_path / "gpu_server").mkdir()

    with pytest.raises(MissingDockerfile, match=r"gpu\.image: .*gpu_server/Dockerfile is missing"):
        choose_image(cdk.Stack(), "gpu_server", {}, root=tmp_path)


@pytest.mark.parametrize(
    ("chosen", "arguments"),
    [
        (
            {},
            {
                "TRANSCRIBER": "faster-whisper",
                "MODEL": "large-v3-turbo",
                "ALIGNMENT_LANGUAGES": "",
            },
        ),
        (
            {"transcriber": "whisperx"},
            {"TRANSCRIBER": "whisperx", "MODEL": "large-v3", "ALIGNMENT_LANGUAGES": "en"},
        ),
        (
            {"transcriber": "whisperx", "model": "small", "alignment_languages": ("de", "fr")},
            {"TRANSCRIBER": "whisperx", "MODEL": "small", "ALIGNMENT_LANGUAGES": "de fr"},
        ),
    ],
)
def test_the_image_is_built_for_the_transcriber_that_was_chosen(
    chosen: dict[str, Any], arguments: dict[str, str]
) -> None:
    server = Server(GpuConfig(image="gpu_server", **chosen))

    (assets,) = Path(server.stack.node.root.synth().directory).glob("*-gpu.assets.json")  # type: ignore[attr-defined]  # the root is an App
    (image,) = json.loads(assets.read_text())["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == arguments


def test_faster_whisper_knows_the_models_that_are_baked_in() -> None:
    known = pytest.importorskip("faster_whisper.utils")._MODELS

    for transcriber in ("faster-whisper", "whisperx"):
        assert GpuConfig(image="x:1", transcriber=transcriber).baked_model in known


def test_a_folder_with_a_dockerfile_is_built_from_what_it_needs(tmp_path: Path) -> None:
    ours = {"LICENSE", "NOTICE", "gpu_server/Dockerfile", "foundation/pace.py", "speech/pcm.py"}
    for file in (*ours, "client/errors.py", ".env"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("FROM scratch\n")
    app = cdk.App()
    stack = cdk.Stack(app, "images")

    cdk.aws_ecs.Ec2TaskDefinition(stack, "Task").add_container(
        "Server",
        image=choose_image(stack, "gpu_server", {"MODEL": "large-v3"}, root=tmp_path),
        memory_limit_mib=64,
    )

    built = Path(app.synth().directory)
    (folder,) = built.glob("asset.*")
    (assets,) = built.glob("*.assets.json")
    (image,) = json.loads(assets.read_text())["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == {"MODEL": "large-v3"}
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == ours
