"""Live captions in the cloud: who reaches whom, who may do what, and what happens on failure."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aws_cdk as cdk
import botocore.session
import pytest
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk.assertions import Match, Template

from ecs_service.api.health import LOAD_BALANCER_PATH
from ecs_service.settings import Settings
from infra.common import nag
from infra.config.data import DataConfig
from infra.config.domain import Domain
from infra.config.load_balancers import DedicatedLoadBalancer, SharedLoadBalancer
from infra.config.network import NetworkConfig
from infra.config.recognition import (
    Allowed,
    TranscribeConfig,
)
from infra.config.service import VIEWER_BYTES, ServiceConfig
from infra.config.translation import TranslationConfig
from infra.conversations.store import ConversationStore
from infra.live.dedicated_entrance import DedicatedEntrance
from infra.live.entrances import Entrance
from infra.live.language_services import rights
from infra.live.service import CaptionService
from infra.live.shared_entrance import SharedEntrance
from infra.live.traffic import deregistration_seconds
from infra.network.interface import EnvironmentNetwork
from infra.network.own import OwnNetwork
from infra.network.shared import SharedNetwork
from infra.web.website import FUNCTIONS
from speech.engines.registry import ENGINES
from speech.engines.transcribe.endpoints import websocket_url
from speech.engines.transcribe.options import AllowedOptions
from transcripts.protocol import HEARTBEAT_SECONDS, IDLE_SECONDS

pytestmark = pytest.mark.unit

CERTIFICATE = "arn:aws:acm:us-east-1:111111111111:certificate/0123"
SHARED = SharedLoadBalancer(
    listener_arn=(
        "arn:aws:elasticloadbalancing:us-east-1:111111111111:listener/app/shared/"
        "50dc6c495c0c9188/f2f7dc8efc522ab2"
    ),
    domain_name="shared.example.com",
    security_group_id="sg-0123456789abcdef0",
    vpc_id="vpc-0123456789abcdef0",
    subnet_ids=("subnet-0123456789abcdef0",),
    availability_zones=("us-east-1a",),
)
DEMO = ServiceConfig(
    engine=TranscribeConfig(), max_stream_seconds=30, on_demand_base=0, drain_seconds=45
)
PROD = ServiceConfig(
    cpu=1024,
    memory_mib=2048,
    minimum_tasks=2,
    maximum_tasks=10,
    on_demand_base=1,
    drain_seconds=105,
    log_days=90,
)


class _Stack(cdk.Stack):
    """With zones that nobody has to be asked for, as those of an environment."""

    @property
    def availability_zones(self) -> list[str]:
        return ["us-east-1a", "us-east-1b", "us-east-1c"]


@dataclass(frozen=True, slots=True)
class Built:
    """A synthesised way from CloudFront to the tasks."""

    live: Template
    web: Template
    captions: CaptionService
    assembly: Path

    def only(self, kind: str) -> dict[str, Any]:
        """Return the properties of the one resource of a kind."""
        (found,) = self.live.find_resources(kind).values()
        properties: dict[str, Any] = found["Properties"]
        return properties

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.only("AWS::ECS::TaskDefinition")["ContainerDefinitions"]
        container: dict[str, Any] = found
        return container

    @property
    def settings(self) -> Mapping[str, Any]:
        return {entry["Name"]: entry["Value"] for entry in self.container["Environment"]}

    def attributes(self, kind: str, name: str) -> dict[str, str]:
        """Return a load balancer's or target group's attributes."""
        return {each["Key"]: each["Value"] for each in self.only(kind)[name]}


def build(
    load_balancer: SharedLoadBalancer | DedicatedLoadBalancer,
    service: ServiceConfig,
    domain: Domain | None = None,
    *,
    checked: bool = False,
) -> Built:
    app = cdk.App()
    if checked:
        nag.check(app)
    region = cdk.Environment(region="us-east-1")
    data, live, web = (_Stack(app, name, env=region) for name in ("data", "live", "web"))
    store = ConversationStore(data, "Conversations", data=DataConfig(protected=False))
    network: EnvironmentNetwork
    entrance: Entrance
    if isinstance(load_balancer, SharedLoadBalancer):
        network = SharedNetwork(data, "Network", load_balancer=load_balancer)
        entrance = SharedEntrance(live, "Entrance", load_balancer=load_balancer)
    else:
        network = OwnNetwork(
            _Stack(app, "network", env=region), "Network", network=load_balancer.network
        )
        entrance = DedicatedEntrance(
            live,
            "Entrance",
            load_balancer=load_balancer,
            network=network,
            domain=domain,
            protected=True,
        )
    captions = CaptionService(
        live,
        "CaptionService",
        service=service,
        network=network,
        entrance=entrance,
        store=store,
        namespace="Cloudscribe/test",
    )
    cloudfront.CfnDistribution(
        web,
        "Distribution",
        distribution_config=cloudfront.CfnDistribution.DistributionConfigProperty(
            enabled=True,
            origins=[
                entrance.origin(web).bind(web, origin_id="api").origin_property  # type: ignore[list-item] # one of the two that a union names
            ],
            default_cache_behavior=cloudfront.CfnDistribution.DefaultCacheBehaviorProperty(
                target_origin_id="api", viewer_protocol_policy="https-only"
            ),
        ),
    )
    nag.accept_all(
        web, {f"AwsSolutions-CFR{rule}": "Made for the test of the origin only." for rule in "1234"}
    )
    return Built(Template.from_stack(live), Template.from_stack(web), captions, Path(app.outdir))


#: With every option of Transcribe and Translate.
SPEECH = ServiceConfig(
    engine=TranscribeConfig(
        region="eu-central-1",
        starts_per_second=100,
        options={"vocabulary-name": "names", "partial-results-stability": "high"},
        allowed=Allowed(vocabularies=("names", "places"), two_channels=True),
    ),
    translation=TranslationConfig(
        languages=("fr", "pt-BR"), terminology="products", region="eu-west-1", source="auto"
    ),
    maximum_tasks=3,
)

SHAPES: Mapping[
    str, tuple[SharedLoadBalancer | DedicatedLoadBalancer, ServiceConfig, Domain | None]
] = {
    "demo": (SHARED, DEMO, None),
    "prod": (
        DedicatedLoadBalancer(network=NetworkConfig(flow_logs=True), access_logs=True),
        PROD,
        None,
    ),
    "with_domain": (
        DedicatedLoadBalancer(certificate_arn=CERTIFICATE),
        ServiceConfig(image="registry.example.com/cloudscribe:1.2.3"),
        Domain(name="captions.example.com", certificate_arn=CERTIFICATE),
    ),
    "speech": (SHARED, SPEECH, None),
}


@pytest.fixture(scope="module")
def demo() -> Built:
    return build(*SHAPES["demo"])


@pytest.fixture(scope="module")
def prod() -> Built:
    return build(*SHAPES["prod"])


@pytest.fixture(scope="module")
def with_domain() -> Built:
    return build(*SHAPES["with_domain"])


@pytest.fixture(scope="module")
def speech() -> Built:
    return build(*SHAPES["speech"])


@pytest.fixture(params=["demo", "prod", "with_domain"])
def any_built(request: pytest.FixtureRequest) -> Built:
    built: Built = request.getfixturevalue(request.param)
    return built


# --- who reaches whom ---------------------------------------------------------------------------


def test_tasks_accept_connections_of_the_load_balancer_only(any_built: Built) -> None:
    live = any_built.live
    groups = live.find_resources("AWS::EC2::SecurityGroup")
    (tasks,) = (name for name in groups if "Tasks" in name)

    rules = [
        rule["Properties"]
        for rule in live.find_resources("AWS::EC2::SecurityGroupIngress").values()
        if rule["Properties"]["GroupId"] == {"Fn::GetAtt": [tasks, "GroupId"]}
    ]
    assert "SecurityGroupIngress" not in groups[tasks]["Properties"]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(8080, 8080)]
    assert "CidrIp" not in rules[0]
    assert rules[0]["SourceSecurityGroupId"]


def out_of_tasks(built: Built) -> list[tuple[str, int, int]]:
    groups = built.live.find_resources("AWS::EC2::SecurityGroup")
    (tasks,) = (each for name, each in groups.items() if "Tasks" in name)
    out = tasks["Properties"]["SecurityGroupEgress"]
    return [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in out]


def test_tasks_speak_https_only(prod: Built) -> None:
    assert out_of_tasks(prod) == [("tcp", 443, 443)]


def test_tasks_reach_the_port_of_transcribe_where_it_recognises(demo: Built) -> None:
    port = urlsplit(websocket_url("us-east-1", None)).port
    assert port is not None

    assert out_of_tasks(demo) == [("tcp", 443, 443), ("tcp", port, port)]


def test_nothing_in_the_stack_is_open_to_the_world(any_built: Built) -> None:
    live = any_built.live

    for rule in live.find_resources("AWS::EC2::SecurityGroupIngress").values():
        assert not {"CidrIp", "CidrIpv6"} & set(rule["Properties"])
    for group in live.find_resources("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group["Properties"]


def test_a_load_balancer_of_our_own_is_internal_and_accepts_cloudfront(prod: Built) -> None:
    prod.live.has_resource_properties(
        "AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": "internal"}
    )
    prod.live.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {"SourcePrefixListId": "pl-3b927c52", "FromPort": 80, "ToPort": 80},
    )
    prod.live.has_resource_properties(
        "AWS::ElasticLoadBalancingV2::Listener",
        {"DefaultActions": [Match.object_like({"FixedResponseConfig": {"StatusCode": "404"}})]},
    )


def test_only_the_api_is_passed_on(any_built: Built) -> None:
    paths = [
        condition["PathPatternConfig"]["Values"]
        for condition in any_built.only("AWS::ElasticLoadBalancingV2::ListenerRule")["Conditions"]
        if condition["Field"] == "path-pattern"
    ]

    assert paths == [["/api/*"]]


def test_a_shared_load_balancer_asks_for_a_secret_that_cloudfront_sends(demo: Built) -> None:
    (condition,) = (
        condition["HttpHeaderConfig"]
        for condition in demo.only("AWS::ElasticLoadBalancingV2::ListenerRule")["Conditions"]
        if condition["Field"] == "http-header"
    )
    (distribution,) = demo.web.find_resources("AWS::CloudFront::Distribution").values()
    (origin,) = distribution["Properties"]["DistributionConfig"]["Origins"]
    (header,) = origin["OriginCustomHeaders"]

    assert header["HeaderName"] == condition["HttpHeaderName"]
    generated = demo.only("AWS::SecretsManager::Secret")["GenerateSecretString"]
    assert (generated["ExcludePunctuation"], generated["PasswordLength"]) == (True, 48)
    for value in (condition["Values"][0], header["HeaderValue"]):
        text = json.dumps(value)
        assert "{{resolve:secretsmanager:" in text, "never in the template itself"
        assert f":SecretString:{generated['GenerateStringKey']}::" in text, "changes with the value"


def test_cloudfront_speaks_tls_to_a_shared_load_balancer(demo: Built) -> None:
    (distribution,) = demo.web.find_resources("AWS::CloudFront::Distribution").values()
    (origin,) = distribution["Properties"]["DistributionConfig"]["Origins"]

    assert origin["DomainName"] == "shared.example.com"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert origin["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]


def test_a_shared_load_balancer_is_not_changed(demo: Built) -> None:
    assert not demo.live.find_resources("AWS::EC2::SecurityGroupEgress")
    for rule in demo.live.find_resources("AWS::EC2::SecurityGroupIngress").values():
        assert rule["Properties"]["GroupId"] != SHARED.security_group_id
    assert not demo.live.find_resources("AWS::ElasticLoadBalancingV2::Listener")


def test_its_metrics_are_found_by_its_name(demo: Built) -> None:
    assert demo.captions.entrance.load_balancer_full_name == "app/shared/50dc6c495c0c9188"


def test_with_a_certificate_cloudfront_speaks_tls_under_the_domain(with_domain: Built) -> None:
    with_domain.live.has_resource_properties(
        "AWS::ElasticLoadBalancingV2::Listener",
        {"Protocol": "HTTPS", "Port": 443, "SslPolicy": Match.string_like_regexp("TLS13-1-2")},
    )
    with_domain.web.has_resource_properties(
        "AWS::CloudFront::VpcOrigin",
        {"VpcOriginEndpointConfig": {"OriginProtocolPolicy": "https-only"}},
    )
    (distribution,) = with_domain.web.find_resources("AWS::CloudFront::Distribution").values()
    (origin,) = distribution["Properties"]["DistributionConfig"]["Origins"]
    assert origin["DomainName"] == "captions.example.com"
    for rule in with_domain.live.find_resources("AWS::EC2::SecurityGroupIngress").values():
        assert rule["Properties"]["FromPort"] in {443, 8080}, "no plain way in beside it"


def test_an_environment_may_get_its_domain_later(prod: Built, with_domain: Built) -> None:
    def groups(built: Built) -> set[str]:
        return {
            rule["Properties"]["GroupId"]["Fn::GetAtt"][0]
            for rule in built.live.find_resources("AWS::EC2::SecurityGroupIngress").values()
            if "SourcePrefixListId" in rule["Properties"]
        }

    # Both ports at once would be more rules than a group may have.
    assert groups(prod).isdisjoint(groups(with_domain))
    # The page's stack is updated later, and until then it uses the load balancer's name.
    (exported,) = (name for name in prod.live.find_outputs("*") if "DNSName" in name)
    assert exported in with_domain.live.find_outputs("*")


# --- who may do what ----------------------------------------------------------------------------


def task_statements(built: Built) -> list[dict[str, Any]]:
    policies = built.live.find_resources("AWS::IAM::Policy")
    (task,) = (each["Properties"] for name, each in policies.items() if "TaskRole" in name)
    statements: list[dict[str, Any]] = task["PolicyDocument"]["Statement"]
    return statements


def test_a_task_can_send_and_store_finals_read_them_and_keep_the_ledger(prod: Built) -> None:
    statements = task_statements(prod)

    def of(part: str) -> set[str]:
        """Return what is allowed for resources whose import has a part."""
        allowed: set[str] = set()
        for statement in statements:
            if part in json.dumps(statement["Resource"]):
                actions = statement["Action"]
                allowed |= {actions} if isinstance(actions, str) else set(actions)
        return allowed

    assert of("UtterancesQueue") == {"sqs:SendMessage"}
    assert of("ConversationsTable") == {
        "dynamodb:BatchGetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
    }
    assert of("ConversationsStreams") == {
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    }
    for statement in statements:
        assert "Fn::ImportValue" in json.dumps(statement["Resource"]), "of the data stack"


def test_a_task_may_call_transcribe_in_its_own_region_where_it_recognises(demo: Built) -> None:
    *_, transcribe = task_statements(demo)

    assert transcribe == {
        "Action": "transcribe:StartStreamTranscriptionWebSocket",
        "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
        "Effect": "Allow",
        "Resource": "*",
    }


def test_services_of_language_may_be_called_in_the_regions_that_were_chosen_only(
    speech: Built,
) -> None:
    regions = {
        str(statement["Action"]): statement["Condition"]["StringEquals"]["aws:RequestedRegion"]
        for statement in task_statements(speech)
        if statement["Resource"] == "*"
    }

    assert regions == {
        "transcribe:StartStreamTranscriptionWebSocket": "eu-central-1",
        "translate:TranslateText": "eu-west-1",
        "comprehend:DetectDominantLanguage": "eu-west-1",
    }


MEDICAL = {"specialty": "RADIOLOGY", "type": "DICTATION"}


@pytest.mark.parametrize(
    ("engine", "actions"),
    [
        (TranscribeConfig(), ["StartStreamTranscriptionWebSocket"]),
        (
            TranscribeConfig(allowed=Allowed(medical=True)),
            [
                "StartStreamTranscriptionWebSocket",
                "StartMedicalStreamTranscriptionWebSocket",
            ],
        ),
        (TranscribeConfig(options=MEDICAL), ["StartMedicalStreamTranscriptionWebSocket"]),
    ],
)
def test_a_task_may_start_medical_streams_only_where_there_can_be_some(
    engine: TranscribeConfig, actions: list[str]
) -> None:
    granted = [each.to_json() for each in rights(ServiceConfig(engine=engine), "us-east-1")]

    assert [each["Action"] for each in granted] == [f"transcribe:{action}" for action in actions]
    assert all(
        each["Condition"] == {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}
        for each in granted
    )


def test_the_container_is_nobody_and_writes_to_two_folders_only(any_built: Built) -> None:
    container = any_built.container

    assert container["User"] not in {"", "root", "0", "0:0"}
    assert container["ReadonlyRootFilesystem"] is True
    assert not container.get("Privileged")
    assert {point["ContainerPath"] for point in container["MountPoints"]} == {
        "/tmp",  # noqa: S108 - of the container alone
        "/var/lib/cloudscribe",
    }
    assert str(any_built.settings["OUTBOX_PATH"]).startswith("/var/lib/cloudscribe/")


def test_tasks_run_on_arm(any_built: Built) -> None:
    assert any_built.only("AWS::ECS::TaskDefinition")["RuntimePlatform"] == {
        "CpuArchitecture": "ARM64",
        "OperatingSystemFamily": "LINUX",
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_cdk_nag_has_no_findings(shape: str) -> None:
    build(*SHAPES[shape], checked=True)  # raises with what it found


# --- long sockets -------------------------------------------------------------------------------


def test_a_full_task_is_not_killed_for_being_full(any_built: Built) -> None:
    group = any_built.only("AWS::ElasticLoadBalancingV2::TargetGroup")

    assert group["HealthCheckPath"] == LOAD_BALANCER_PATH
    assert group["Matcher"] == {"HttpCode": "200,404"}
    assert any_built.container["HealthCheck"]["Command"][-1] == "ecs_service.healthcheck"


def test_no_entrance_passes_on_what_the_load_balancer_asks(any_built: Built) -> None:
    path = any_built.only("AWS::ElasticLoadBalancingV2::TargetGroup")["HealthCheckPath"]
    passed_on = [
        pattern
        for condition in any_built.only("AWS::ElasticLoadBalancingV2::ListenerRule")["Conditions"]
        for pattern in condition.get("PathPatternConfig", {}).get("Values", [])
    ]

    assert passed_on
    assert not any(fnmatch.fnmatchcase(path, pattern) for pattern in passed_on)


def test_no_working_socket_is_idle_for_too_long(prod: Built) -> None:
    attributes = prod.attributes(
        "AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerAttributes"
    )

    assert float(attributes["idle_timeout.timeout_seconds"]) > max(HEARTBEAT_SECONDS, IDLE_SECONDS)
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert attributes["deletion_protection.enabled"] == "true"


def test_new_sockets_go_to_the_task_with_the_fewest(any_built: Built) -> None:
    attributes = any_built.attributes(
        "AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupAttributes"
    )

    assert attributes["load_balancing.algorithm.type"] == "least_outstanding_requests"


def test_the_drain_ends_before_the_kill_and_before_the_sockets_are_cut(any_built: Built) -> None:
    attributes = any_built.attributes(
        "AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupAttributes"
    )
    kill = any_built.container["StopTimeout"]

    assert float(any_built.settings["DRAIN_SECONDS"]) < kill <= 120
    assert int(attributes["deregistration_delay.timeout_seconds"]) >= kill


@pytest.mark.parametrize(
    ("seconds", "delay"),
    [(30.0, 55), (100.0, 115), (3600.0, 300), (None, 300)],
)
def test_a_stream_of_limited_length_may_end_by_itself(seconds: float | None, delay: int) -> None:
    service = ServiceConfig(max_stream_seconds=seconds, drain_seconds=45)

    assert deregistration_seconds(service) == delay


# --- deployments and capacity -------------------------------------------------------------------


def test_a_failed_deployment_is_rolled_back(any_built: Built) -> None:
    deployment = any_built.only("AWS::ECS::Service")["DeploymentConfiguration"]
    alarms = any_built.live.find_resources("AWS::CloudWatch::Alarm")

    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert deployment["Alarms"]["Rollback"] is True
    watched = {
        alarms[name["Ref"]]["Properties"]["MetricName"]
        for name in deployment["Alarms"]["AlarmNames"]
    }
    assert watched == {"HTTPCode_Target_5XX_Count"}


def test_deployments_roll_and_need_no_right_to_change_listeners(any_built: Built) -> None:
    """The reasons are in infra/live/service.py; the names of the strategies are AWS's."""
    model = botocore.session.get_session().get_service_model("ecs")
    strategies = set(model.shape_for("DeploymentStrategy").metadata["enum"])
    service = any_built.only("AWS::ECS::Service")

    assert {"BLUE_GREEN", "LINEAR", "CANARY", "ROLLING"} <= strategies
    assert service["DeploymentConfiguration"].get("Strategy", "ROLLING") == "ROLLING"
    (balancer,) = service["LoadBalancers"]
    assert "AdvancedConfiguration" not in balancer
    policies = any_built.live.find_resources("AWS::IAM::Policy")
    assert "elasticloadbalancing:" not in json.dumps(policies)


def test_old_tasks_stay_until_the_new_ones_serve(any_built: Built) -> None:
    deployment = any_built.only("AWS::ECS::Service")["DeploymentConfiguration"]

    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (100, 200)


def test_the_service_comes_after_what_it_needs(any_built: Built) -> None:
    (service,) = any_built.live.find_resources("AWS::ECS::Service").values()
    kinds = {any_built.live.to_json()["Resources"][name]["Type"] for name in service["DependsOn"]}

    assert "AWS::ElasticLoadBalancingV2::ListenerRule" in kinds
    assert "AWS::ECS::ClusterCapacityProviderAssociations" in kinds
    execution_role = any_built.only("AWS::ECS::TaskDefinition")["ExecutionRoleArn"]["Fn::GetAtt"][0]
    (rights,) = (
        name
        for name, policy in any_built.live.find_resources("AWS::IAM::Policy").items()
        if {"Ref": execution_role} in policy["Properties"]["Roles"]
    )
    assert rights in service["DependsOn"], "no image is pulled without them"


def test_the_demo_runs_on_spot_alone(demo: Built) -> None:
    strategy = demo.only("AWS::ECS::Service")["CapacityProviderStrategy"]

    assert [each["CapacityProvider"] for each in strategy] == ["FARGATE_SPOT"]
    assert demo.settings["MAX_STREAM_SECONDS"] == "30"
    assert not demo.live.find_resources("AWS::ApplicationAutoScaling::ScalableTarget")


def test_production_keeps_a_base_on_demand_and_prefers_spot_above_it(prod: Built) -> None:
    strategy = {
        each["CapacityProvider"]: each
        for each in prod.only("AWS::ECS::Service")["CapacityProviderStrategy"]
    }

    assert strategy["FARGATE"]["Base"] == 1
    assert strategy["FARGATE_SPOT"]["Weight"] > strategy["FARGATE"]["Weight"]


def test_without_a_base_there_is_no_spot(with_domain: Built) -> None:
    strategy = with_domain.only("AWS::ECS::Service")["CapacityProviderStrategy"]

    assert [each["CapacityProvider"] for each in strategy] == ["FARGATE"]


def test_tasks_grow_fast_with_open_streams_and_cpu_and_shrink_slowly(prod: Built) -> None:
    policies = [
        policy["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        for policy in prod.live.find_resources(
            "AWS::ApplicationAutoScaling::ScalingPolicy"
        ).values()
    ]
    streams = [
        p["CustomizedMetricSpecification"]
        for p in policies
        if len(p) and "CustomizedMetricSpecification" in p
    ]
    cpu = [
        p["PredefinedMetricSpecification"] for p in policies if "PredefinedMetricSpecification" in p
    ]

    assert [(m["Namespace"], m["MetricName"], m["Statistic"]) for m in streams] == [
        ("Cloudscribe/test", "SlotsInUse", "Average")
    ]
    assert [m["PredefinedMetricType"] for m in cpu] == ["ECSServiceAverageCPUUtilization"]
    assert all(p["ScaleInCooldown"] >= 10 * p["ScaleOutCooldown"] for p in policies)
    prod.live.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalableTarget", {"MinCapacity": 2, "MaxCapacity": 10}
    )
    assert "DesiredCount" not in prod.only("AWS::ECS::Service"), "a deployment must not shrink it"


# --- the environment of the container -----------------------------------------------------------


def test_the_service_understands_its_settings(
    any_built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in any_built.settings.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else "from-another-stack")

    settings = Settings()

    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.metrics_namespace == "Cloudscribe/test"
    assert not settings.is_loopback
    assert settings.queue_url
    assert settings.table_name
    assert settings.max_viewers >= settings.viewers_per_conversation > 1
    assert settings.viewer_address_header


def test_the_service_understands_what_was_chosen_of_transcribe_and_translate(
    speech: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in speech.settings.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else "from-another-stack")

    settings = Settings()

    assert settings.engine == "transcribe"
    assert settings.transcribe_region == "eu-central-1"
    assert settings.transcribe_starts_per_second == pytest.approx(0.8 * 100 / 3, abs=0.01)
    assert settings.transcribe_options == {
        "vocabulary-name": "names",
        "partial-results-stability": "high",
    }
    assert settings.transcribe_allowed == AllowedOptions(
        vocabularies=frozenset({"names", "places"}), two_channels=True
    )
    assert settings.translator == "amazon"
    assert settings.translate_region == "eu-west-1"
    assert settings.translate_languages == ("fr", "pt-BR")
    assert settings.translate_terminology == "products"
    assert settings.translate_source == "auto"


def test_without_translation_nothing_is_translated(demo: Built) -> None:
    assert not [name for name in demo.settings if name.startswith("TRANSLAT")]


def test_a_task_of_its_own_takes_the_streams_that_an_account_has(demo: Built) -> None:
    assert demo.settings["SLOTS"] == str(ENGINES["transcribe"].count_streams(1))
    assert demo.settings["TRANSCRIBE_STARTS_PER_SECOND"] == "20", "a fifth is left for others"


def test_slots_follow_what_the_task_has_of_a_processor(prod: Built, with_domain: Built) -> None:
    assert prod.settings["SLOTS"] == "5", "one vCPU"
    assert with_domain.settings["SLOTS"] == "1", "a quarter of one"


def test_a_quarter_of_the_memory_is_for_viewers(demo: Built, prod: Built) -> None:
    for built, mebibytes in ((demo, 512), (prod, 2048)):
        viewers = int(built.settings["MAX_VIEWERS"])
        assert viewers * VIEWER_BYTES == pytest.approx(mebibytes * 2**20 / 4, rel=0.001)
        assert "MAX_VIEWERS_PER_CONVERSATION" not in built.settings, "the service halves them"


def test_viewers_are_known_by_the_address_that_cloudfront_writes(any_built: Built) -> None:
    header = any_built.settings["VIEWER_ADDRESS_HEADER"]

    assert header.lower() in (FUNCTIONS / "api_request.js").read_text()


def test_an_image_that_was_named_is_taken_as_it_is(with_domain: Built) -> None:
    assert with_domain.container["Image"] == "registry.example.com/cloudscribe:1.2.3"


def test_the_image_depends_on_what_it_copies_and_on_nothing_else(demo: Built) -> None:
    assets = json.loads((demo.assembly / "live.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    context = demo.assembly / image["source"]["directory"]

    assert image["source"]["platform"] == "linux/arm64"
    assert (context / image["source"]["dockerFile"]).is_file()
    assert (context / "ecs_service" / "sessions" / "stream.py").is_file()
    assert {path.name for path in context.iterdir() if path.is_dir()} == {
        "access",
        "ecs_service",
        "foundation",
        "speech",
        "transcripts",
        "translation",
    }
    assert not list(context.rglob("__pycache__"))


def test_logs_neither_stay_for_ever_nor_hold_up_the_service(prod: Built) -> None:
    prod.live.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 90})
    assert prod.container["LogConfiguration"]["Options"]["mode"] == "non-blocking"


def test_access_logs_are_kept_private_and_expire(prod: Built) -> None:
    prod.live.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": [Match.object_like({"ExpirationInDays": 90, "Status": "Enabled"})]
            },
            "PublicAccessBlockConfiguration": Match.object_like({"RestrictPublicBuckets": True}),
        },
    )
