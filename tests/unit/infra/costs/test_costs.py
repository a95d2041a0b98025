from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from ecs_service.conversations.translation_plan import TranslationPolicy
from ecs_service.embedded_metrics import UNITS
from infra import stacks
from infra.common.artifacts import ROOT, Artifacts
from infra.config.access import CognitoConfig, OpenConfig
from infra.config.gpu import GpuConfig
from infra.config.operations import OperationsConfig
from infra.costs import prices
from infra.costs.always_on import PRICERS
from infra.costs.errors import NotAnAssembly, UnpricedResource
from infra.costs.prices import Usage
from infra.costs.report import Estimate, estimate, format_amount, format_dollars, render, to_json
from infra.costs.tasks import Tasks, split
from infra.costs.templates import Resource, Stack, read, resolve
from infra.costs.usage import DETECT, PARTIAL_FACTOR, PARTIAL_SECONDS, TRANSCRIBE_MEDICAL, UsageRate
from tests.support.environments import environment, live
from tests.support.templates import built, settings
from transcripts.recordings.machines import ASSUMED_SPEED

pytestmark = pytest.mark.unit

Template = dict[str, Any]

TASK: Template = {
    "Type": "AWS::ECS::TaskDefinition",
    "Properties": {
        "Cpu": "256",
        "Memory": "512",
        "RuntimePlatform": {"CpuArchitecture": "ARM64"},
    },
}
IN_PUBLIC = {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED", "Subnets": ["subnet-1"]}}
IN_PRIVATE = {"AwsvpcConfiguration": {"AssignPublicIp": "DISABLED", "Subnets": ["subnet-1"]}}
ON_SPOT = [{"CapacityProvider": "FARGATE_SPOT", "Base": 0, "Weight": 1}]
ONE_SURE = [
    {"CapacityProvider": "FARGATE", "Base": 1, "Weight": 0},
    {"CapacityProvider": "FARGATE_SPOT", "Weight": 1},
]


def resource(kind: str, **properties: Any) -> Template:
    return {"Type": kind, "Properties": properties}


def service(**properties: Any) -> Template:
    return resource(
        "AWS::ECS::Service",
        **{
            "Cluster": {"Ref": "Cluster"},
            "TaskDefinition": {"Ref": "Task"},
            "NetworkConfiguration": IN_PUBLIC,
            "DesiredCount": 1,
            **properties,
        },
    )


def scaled(least: int, most: int) -> Template:
    return resource(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        MinCapacity=least,
        MaxCapacity=most,
        ResourceId={
            "Fn::Join": [
                "",
                ["service/", {"Ref": "Cluster"}, "/", {"Fn::GetAtt": ["Service", "Name"]}],
            ]
        },
    )


def machines(
    *, desired: int, types: tuple[str, ...] = ("g6.xlarge",), on_demand: int = 0
) -> Template:
    reference = {"LaunchTemplateId": {"Ref": "Machine"}, "Version": "1"}
    return {
        "Machine": resource(
            "AWS::EC2::LaunchTemplate",
            LaunchTemplateData={
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100}}],
                "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}],
            },
        ),
        "Group": resource(
            "AWS::AutoScaling::AutoScalingGroup",
            MinSize="0",
            MaxSize="2",
            DesiredCapacity=str(desired),
            MixedInstancesPolicy={
                "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": on_demand},
                "LaunchTemplate": {
                    "LaunchTemplateSpecification": reference,
                    "Overrides": [{"InstanceType": kind} for kind in types],
                },
            },
        ),
    }


def alarm(number: int = 1, **properties: Any) -> Template:
    given_ = {"Namespace": "AWS/SQS", "MetricName": f"Metric{number}", "Period": 60}
    return resource("AWS::CloudWatch::Alarm", **{**given_, **properties})


def stack(name: str = "demo-live", /, **resources: Template) -> Stack:
    return Stack(
        name=name, environment="demo", region="us-east-1", template={"Resources": resources}
    )


def priced(**resources: Template) -> Estimate:
    return estimate("demo", [stack(**resources)])


def months(figures: Estimate) -> dict[str, Decimal]:
    return {line.price.what: line.month for line in figures.lines}


def demo() -> Estimate:
    return priced(
        Task=TASK,
        Service=service(CapacityProviderStrategy=ON_SPOT),
        Rule=resource("AWS::ElasticLoadBalancingV2::ListenerRule", ListenerArn="arn:shared"),
        Page=resource("AWS::CloudFront::Distribution"),
    )


# --- the total, and how it is printed -------------------------------------------------------------


def test_a_spot_task_behind_a_shared_load_balancer_is_priced() -> None:
    figures = demo()

    assert figures.total == Decimal("5.96")
    assert any("load balancer is shared" in note for note in figures.notes)


def test_the_first_line_is_what_somebody_with_an_empty_account_pays() -> None:
    first, second, third, *_ = render(demo()).splitlines()

    assert first.startswith("In an empty account demo costs $21.99 a month, its own load balancer")
    assert "$5.96 a month" in second
    assert third.endswith("make cost ENV=solo.")


def test_who_needs_no_load_balancer_pays_the_same_everywhere() -> None:
    figures = priced(Secret=resource("AWS::SecretsManager::Secret"))

    assert render(figures).splitlines()[:2] == [
        "In an empty account demo costs $0.40 a month (free tiers that never end counted).",
        "",
    ]
    assert to_json(figures)["sharedLoadBalancer"] is None


@given(secrets=st.integers(1, 9), own=st.booleans())
def test_an_empty_account_pays_for_a_load_balancer_once(secrets: int, own: bool) -> None:  # noqa: FBT001 - hypothesis gives them by name
    balancer = {
        "Balancer": resource("AWS::ElasticLoadBalancingV2::LoadBalancer", Scheme="internal")
    }
    figures = priced(
        **{f"Secret{n}": resource("AWS::SecretsManager::Secret") for n in range(secrets)},
        Rule=resource("AWS::ElasticLoadBalancingV2::ListenerRule"),
        **(balancer if own else {}),
    )
    found = to_json(figures)

    assert found["total"] == found["emptyAccount" if own else "sharedLoadBalancer"]
    assert found["emptyAccount"] - found["sharedLoadBalancer"] == pytest.approx(16.43 - 0.40)


def test_the_last_line_is_the_total_and_nothing_else() -> None:
    assert render(demo()).splitlines()[-1] == "Total: $5.96 a month"


def test_an_environment_without_anything_that_costs_totals_zero() -> None:
    text = render(priced(Role=resource("AWS::IAM::Role")))

    assert text.splitlines()[-1] == "Total: $0.00 a month"


def test_a_cent_is_never_lost_between_the_printed_lines_and_the_total() -> None:
    text = render(demo())

    _, _, text = text.partition("Always on")
    printed = re.findall(r"^  .* an? (?:hour|month) +\$(\d+\.\d\d)$", text, flags=re.MULTILINE)
    total = re.search(r"Total: \$(\d+\.\d\d) a month\Z", text)
    assert total
    assert len(printed) == 3
    assert sum(map(Decimal, printed)) == Decimal(total[1])


def test_json_has_the_same_figures_and_what_causes_them() -> None:
    found = json.loads(json.dumps(to_json(demo())))

    assert found["total"] == pytest.approx(sum(line["month"] for line in found["lines"]))
    assert found["total"] == 5.96
    address = next(line for line in found["lines"] if line["what"] == "public IPv4 address")
    assert address["causes"] == ["AWS::ECS::Service Service in demo-live"]
    assert found["pricedOn"] == prices.PRICED_ON


counts = st.integers(min_value=0, max_value=60)


@given(secrets=counts, keys=counts, alarms=counts, dashboards=counts)
def test_the_total_is_the_sum_of_its_lines_and_each_line_its_count_beyond_the_free(
    secrets: int, keys: int, alarms: int, dashboards: int
) -> None:
    resources = {
        **{f"Secret{n}": resource("AWS::SecretsManager::Secret") for n in range(secrets)},
        **{f"Key{n}": resource("AWS::KMS::Key") for n in range(keys)},
        **{f"Alarm{n}": alarm(n) for n in range(alarms)},
        **{f"Page{n}": resource("AWS::CloudWatch::Dashboard") for n in range(dashboards)},
    }

    figures = priced(**resources)

    assert figures.total == sum(months(figures).values(), Decimal(0))
    assert figures.total == (
        secrets * Decimal("0.40")
        + keys
        + max(0, alarms - 10) * Decimal("0.10")
        + max(0, dashboards - 3) * 3
    )


@given(first=st.integers(0, 30), second=st.integers(0, 30))
def test_a_free_tier_counts_once_however_alarms_are_spread_over_stacks(
    first: int, second: int
) -> None:
    apart = [
        stack("one", **{f"A{n}": alarm(n) for n in range(first)}),
        stack("two", **{f"A{n}": alarm(n) for n in range(second)}),
    ]
    together = [stack("all", **{f"A{n}": alarm(n) for n in range(first + second)})]

    assert estimate("demo", apart).total == estimate("demo", together).total


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0.00"),
        ("0.1", "$0.10"),
        ("3", "$3.00"),
        ("1234.5", "$1234.50"),
        ("0.0225", "$0.0225"),
        ("0.0103616", "$0.01036"),
        ("0.00000123456", "$0.000001235"),
    ],
)
def test_dollars_are_printed_to_the_cent_or_more_exactly_where_they_are_less(
    value: str, text: str
) -> None:
    assert format_dollars(Decimal(value)) == text


@given(st.decimals(min_value=0, max_value=10_000, allow_nan=False, places=9))
def test_a_printed_amount_is_right_to_four_digits(value: Decimal) -> None:
    assert Decimal(format_amount(value)) == pytest.approx(value, rel=Decimal("0.0005"))


def test_what_it_costs_where_others_used_up_the_free_tiers_is_noted() -> None:
    figures = priced(Secret=resource("AWS::SecretsManager::Secret"), Alarm=alarm())

    assert figures.total == Decimal("0.40")
    assert any("used them up, the total is $0.50" in note for note in figures.notes)


# --- what has no price ----------------------------------------------------------------------------


def test_every_resource_without_a_price_is_named_with_its_type_id_and_stack() -> None:
    with pytest.raises(UnpricedResource) as refused:
        priced(
            Cache=resource("AWS::ElastiCache::ServerlessCache"),
            Role=resource("AWS::IAM::Role"),
            Stream=resource("AWS::Kinesis::Stream"),
        )

    assert len(refused.value.problems) == 2
    assert "AWS::ElastiCache::ServerlessCache Cache in demo-live" in str(refused.value)
    assert "AWS::Kinesis::Stream Stream in demo-live" in str(refused.value)


@pytest.mark.parametrize(
    "costly",
    [
        resource("AWS::DynamoDB::Table", ProvisionedThroughput={"ReadCapacityUnits": 5}),
        resource("AWS::Lambda::Alias", ProvisionedConcurrencyConfig={"X": 1}),
        resource("AWS::Lambda::EventSourceMapping", ProvisionedPollerConfig={"MinimumPollers": 2}),
        resource("AWS::Lambda::Function", SnapStart={"ApplyOn": "PublishedVersions"}),
        resource("AWS::SSM::Parameter", Tier="Advanced"),
        resource("AWS::EC2::VPCEndpoint", VpcEndpointType="GatewayLoadBalancer"),
        resource("AWS::ElasticLoadBalancingV2::LoadBalancer", Type="gateway"),
        resource(
            "AWS::ECS::Cluster",
            ClusterSettings=[{"Name": "containerInsights", "Value": "enhanced"}],
        ),
        resource("AWS::ECS::Service", TaskDefinition={"Ref": "Elsewhere"}, LaunchType="FARGATE"),
        resource("AWS::ECS::Service", TaskDefinition={"Ref": "Elsewhere"}),
    ],
    ids=lambda each: each["Type"],
)
def test_a_known_type_with_an_option_of_unknown_price_is_refused(costly: Template) -> None:
    with pytest.raises(UnpricedResource, match=costly["Type"]):
        priced(Costly=costly)


def test_a_machine_of_unknown_price_is_refused_even_while_none_runs() -> None:
    with pytest.raises(UnpricedResource, match=r"p5\.48xlarge"):
        priced(**machines(desired=0, types=("g6.xlarge", "p5.48xlarge")))


def test_a_number_that_only_aws_knows_is_refused() -> None:
    count = {"Fn::GetAtt": ["Something", "Count"]}

    with pytest.raises(UnpricedResource, match="DesiredCount is not known before deployment"):
        priced(Task=TASK, Service=service(DesiredCount=count, LaunchType="FARGATE"))


def test_a_plan_of_a_user_pool_without_a_price_is_refused() -> None:
    with pytest.raises(UnpricedResource, match="people of the plan PLUS have no price"):
        priced(Pool=resource("AWS::Cognito::UserPool", UserPoolTier="PLUS"))


def test_no_type_is_in_the_table_twice() -> None:
    known = [*PRICERS, *prices.FREE, *prices.USAGE]

    assert sorted(known) == sorted(set(known))


def test_every_free_resource_has_a_reason() -> None:
    assert all(reason.strip() for reason in prices.FREE.values())


def test_custom_resources_cost_nothing_by_themselves() -> None:
    assert priced(Cleaner=resource("Custom::Anything")).total == 0


# --- tasks ----------------------------------------------------------------------------------------


def test_a_task_on_demand_without_an_address_costs_its_vcpu_and_memory() -> None:
    figures = priced(
        Task=TASK, Service=service(LaunchType="FARGATE", NetworkConfiguration=IN_PRIVATE)
    )

    assert figures.total == Decimal("7.21")


def test_a_task_without_an_architecture_is_x86() -> None:
    task = resource("AWS::ECS::TaskDefinition", Cpu="256", Memory="512")
    figures = priced(
        Task=task, Service=service(LaunchType="FARGATE", NetworkConfiguration=IN_PRIVATE)
    )

    assert figures.total == Decimal("9.01")


def test_autoscaling_starts_from_its_least_tasks() -> None:
    alone = priced(Task=TASK, Service=service(LaunchType="FARGATE"))
    two = priced(Task=TASK, Service=service(LaunchType="FARGATE"), Target=scaled(2, 10))

    assert months(two)["public IPv4 address"] == 2 * months(alone)["public IPv4 address"]


def test_the_base_runs_on_demand_and_the_rest_on_spot() -> None:
    figures = priced(
        Task=TASK, Service=service(CapacityProviderStrategy=ONE_SURE), Target=scaled(2, 10)
    )

    assert months(figures) == {
        "Fargate vCPU, ARM, on demand": Decimal("5.91"),
        "Fargate GB, ARM, on demand": Decimal("1.30"),
        "Fargate vCPU, ARM, Spot": Decimal("1.89"),
        "Fargate GB, ARM, Spot": Decimal("0.42"),
        "public IPv4 address": Decimal("7.30"),
    }


def test_the_next_task_has_the_rate_of_what_autoscaling_would_start() -> None:
    figures = priced(
        Task=TASK, Service=service(CapacityProviderStrategy=ONE_SURE), Target=scaled(2, 10)
    )

    rate = next(rate for rate in figures.rates if rate.usage == Usage.TASK)
    assert "Spot" in rate.parts[0].what
    assert rate.dollars * prices.HOURS_PER_MONTH == pytest.approx(
        Decimal("5.957"), abs=Decimal("0.001")
    )


strategies = st.lists(
    st.fixed_dictionaries({"Base": st.integers(0, 5), "Weight": st.integers(0, 5)}),
    min_size=2,
    max_size=2,
).map(
    lambda entries: [
        {"CapacityProvider": name, **entry}
        for name, entry in zip(("FARGATE", "FARGATE_SPOT"), entries, strict=True)
    ]
)


@given(strategy=strategies, count=st.integers(0, 50))
def test_a_strategy_places_every_task_once(strategy: list[Template], count: int) -> None:
    subject = Resource(
        stack="s", logical_id="S", type="T", properties={"CapacityProviderStrategy": strategy}
    )

    tasks = split(subject, Decimal(count))

    assert tasks.on_demand + tasks.spot == count
    assert min(tasks.on_demand, tasks.spot) >= 0
    assert tasks.on_demand >= min(strategy[0]["Base"], count)


def test_without_a_strategy_every_task_is_on_demand() -> None:
    subject = Resource(stack="s", logical_id="S", type="T", properties={})

    assert split(subject, Decimal(3)) == Tasks(on_demand=Decimal(3), spot=Decimal(0))


# --- machines ----------------------------------------------------------------------------------


def test_machines_that_do_not_run_cost_nothing_but_have_a_rate() -> None:
    figures = priced(**machines(desired=0, types=("g6.xlarge", "g4dn.xlarge")))

    assert figures.total == 0
    named = {rate.per: rate for rate in figures.rates if rate.usage == Usage.GPU}
    assert len(named) == 4
    spot = named["an hour of audio on a GPU, g4dn.xlarge Spot"]
    dear = named["an hour of audio on a GPU, g4dn.xlarge on demand"]
    assert spot.dollars < dear.dollars
    assert "not measured" in spot.assumed


def test_a_machine_that_always_runs_costs_its_dearest_choice_with_disk_and_address() -> None:
    figures = priced(**machines(desired=1, types=("g4dn.xlarge", "g5.xlarge"), on_demand=100))

    assert months(figures) == {
        "EC2 g5.xlarge, on demand": Decimal("734.38"),
        "EBS gp3, GB": Decimal("8.00"),
        "public IPv4 address": Decimal("3.65"),
    }


def on_machine(credits_: str = "standard", **properties: Any) -> Template:
    """Return a service on a machine of its own, as `infra.live.machine_service` makes it."""
    metrics = [{"Name": prices.METRICS_SETTING, "Value": "Cloudscribe/solo"}]
    return {
        "Task": resource(
            "AWS::ECS::TaskDefinition", ContainerDefinitions=[{"Environment": metrics}]
        ),
        "Service": service(LaunchType="EC2"),
        "Launch": resource(
            "AWS::EC2::LaunchTemplate",
            LaunchTemplateData={
                "InstanceType": "t4g.nano",
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}],
                "CreditSpecification": {"CpuCredits": credits_},
            },
        ),
        "Machine": resource(
            "AWS::EC2::Instance",
            **{
                "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Launch"}, "Version": "1"},
                "NetworkInterfaces": [{"DeviceIndex": "0", "AssociatePublicIpAddress": True}],
                **properties,
            },
        ),
    }


def test_a_task_on_a_machine_of_its_own_costs_the_machine_its_disk_and_its_address() -> None:
    figures = priced(**on_machine())

    assert months(figures) == {
        "EC2 t4g.nano, on demand": Decimal("3.07"),
        "EBS gp3, GB": Decimal("0.64"),
        "public IPv4 address": Decimal("3.65"),
        "custom metric": Decimal("0.00"),
    }


def test_a_machine_whose_cpu_may_cost_more_is_refused() -> None:
    with pytest.raises(UnpricedResource, match="may be charged without limit"):
        priced(**on_machine("unlimited"))


def test_a_machine_in_private_costs_no_address() -> None:
    interfaces = [{"DeviceIndex": "0", "AssociatePublicIpAddress": False}]

    assert "public IPv4 address" not in months(priced(**on_machine(NetworkInterfaces=interfaces)))


def test_what_a_volume_does_beyond_every_volumes_is_charged() -> None:
    resources = machines(desired=1)
    (mapping,) = resources["Machine"]["Properties"]["LaunchTemplateData"]["BlockDeviceMappings"]
    mapping["Ebs"] |= {"Throughput": 400, "Iops": 4000}

    figures = months(priced(**resources))

    assert figures["EBS gp3, MiB/s of throughput"] == (400 - 125) * Decimal("0.04")
    assert figures["EBS gp3, IOPS"] == (4000 - 3000) * Decimal("0.005")


def test_the_price_of_an_hour_of_audio_follows_the_routers_speed() -> None:
    def spot(**more: Template) -> UsageRate:
        figures = priced(**machines(desired=0), **more)
        return next(rate for rate in figures.rates if rate.usage == Usage.GPU)

    faster = resource(
        "AWS::Lambda::Function", Environment={"Variables": {"SERVER_SPEED": str(4 * ASSUMED_SPEED)}}
    )

    assert spot(Router=faster).dollars == pytest.approx(spot().dollars / 4)
    assert "in which 40 hours of audio are assumed" in spot(Router=faster).assumed


def test_tasks_on_machines_cost_nothing_beside_the_machines() -> None:
    on_machines = [{"CapacityProvider": {"Ref": "Provider"}, "Weight": 1}]
    figures = priced(
        Task=TASK, Service=service(DesiredCount=0, CapacityProviderStrategy=on_machines)
    )

    assert figures.total == 0


def test_tasks_that_always_keep_machines_of_unknown_number_are_refused() -> None:
    on_machines = [{"CapacityProvider": {"Ref": "Provider"}, "Weight": 1}]

    with pytest.raises(UnpricedResource, match="always keep machines"):
        priced(Task=TASK, Service=service(CapacityProviderStrategy=on_machines))


# --- network ----------------------------------------------------------------------------------


def test_an_internal_load_balancer_has_no_public_addresses() -> None:
    inside = priced(
        Balancer=resource(
            "AWS::ElasticLoadBalancingV2::LoadBalancer", Scheme="internal", Subnets=["a", "b"]
        )
    )
    outside = priced(
        Balancer=resource("AWS::ElasticLoadBalancingV2::LoadBalancer", Subnets=["a", "b"])
    )

    assert inside.total == Decimal("16.43")
    assert outside.total == Decimal("23.73")
    assert not any("shared" in note for note in inside.notes)


def test_an_interface_endpoint_costs_in_every_zone_and_a_gateway_endpoint_nowhere() -> None:
    figures = priced(
        Inside=resource("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"]),
        Free=resource("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway", RouteTableIds=["r"]),
    )

    assert figures.total == Decimal("14.60")


def test_a_nat_gateway_costs_itself_and_its_address() -> None:
    figures = priced(
        Nat=resource("AWS::EC2::NatGateway"), Address=resource("AWS::EC2::EIP", Domain="vpc")
    )

    assert figures.total == Decimal("36.50")


def test_a_firewall_costs_by_its_rules() -> None:
    assert priced(Wall=resource("AWS::WAFv2::WebACL", Rules=[{}, {}])).total == 7


# --- alarms, dashboards, metrics ----------------------------------------------------------------


def test_an_alarm_on_arithmetic_counts_each_metric_that_it_reads() -> None:
    def stat(number: int) -> Template:
        return {"Id": f"m{number}", "MetricStat": {"Metric": {"Namespace": "AWS/X"}, "Period": 300}}

    share = alarm(Metrics=[{"Id": "e", "Expression": "m1/m2"}, stat(1), stat(2)])

    figures = priced(**{f"Alarm{n}": share for n in range(10)})

    assert figures.total == Decimal("1.00")


def test_alarms_by_the_second_have_no_free_ones() -> None:
    assert priced(Fast=alarm(Period=10)).total == Decimal("0.30")


def test_target_tracking_makes_two_alarms_that_no_template_shows() -> None:
    policy = resource(
        "AWS::ApplicationAutoScaling::ScalingPolicy", PolicyType="TargetTrackingScaling"
    )
    ten = {f"Alarm{n}": alarm(n) for n in range(10)}

    assert priced(**ten).total == 0
    assert priced(**ten, TranslationPolicy=policy).total == Decimal("0.20")


def test_a_service_that_sends_metrics_uses_up_free_ones() -> None:
    settings = [{"Name": prices.METRICS_SETTING, "Value": "Cloudscribe/demo"}]
    task = {**TASK["Properties"], "ContainerDefinitions": [{"Environment": settings}]}
    figures = priced(
        Task=resource("AWS::ECS::TaskDefinition", **task),
        Service=service(LaunchType="FARGATE"),
        Filter=resource("AWS::Logs::MetricFilter", MetricTransformations=[{}]),
    )

    line = next(line for line in figures.lines if line.price is prices.CUSTOM_METRIC)
    assert line.quantity == len(UNITS) + 1


@pytest.mark.parametrize(("more", "metrics"), [({}, 0), ({"SERVICE": "gpu"}, 1)])
def test_the_batch_worker_counts_machines_only_where_there_are_some(
    more: Template, metrics: int
) -> None:
    figures = priced(
        Worker=resource(
            "AWS::Lambda::Function",
            Handler="lambdas.batch_worker.handler.handler",
            Environment={"Variables": {"JOBS_QUEUE_URL": "https://queue", **more}},
        )
    )

    counted = [line.quantity for line in figures.lines if line.price is prices.CUSTOM_METRIC]
    assert sum(counted) == metrics


def test_managed_scaling_of_machines_makes_two_alarms() -> None:
    provider = resource(
        "AWS::ECS::CapacityProvider",
        AutoScalingGroupProvider={"ManagedScaling": {"Status": "ENABLED"}},
    )
    ten = {f"Alarm{n}": alarm(n) for n in range(10)}

    assert priced(**ten, Provider=provider).total == Decimal("0.20")


def test_container_insights_costs_metrics() -> None:
    cluster = resource(
        "AWS::ECS::Cluster", ClusterSettings=[{"Name": "containerInsights", "Value": "enabled"}]
    )
    quiet = resource(
        "AWS::ECS::Cluster", ClusterSettings=[{"Name": "containerInsights", "Value": "disabled"}]
    )
    rest = {"Task": TASK, "Service": service(LaunchType="FARGATE")}

    more = priced(Cluster=cluster, **rest).total - priced(Cluster=quiet, **rest).total

    metrics = prices.INSIGHTS_METRICS_PER_CLUSTER + prices.INSIGHTS_METRICS_PER_SERVICE
    assert more == (metrics - 10) * Decimal("0.30")


# --- small things -------------------------------------------------------------------------------


def test_idle_pollers_of_one_queue_are_free_and_those_of_more_are_not() -> None:
    mapping = resource("AWS::Lambda::EventSourceMapping", EventSourceArn="arn:aws:sqs:...")
    stream = resource(
        "AWS::Lambda::EventSourceMapping", EventSourceArn="arn", StartingPosition="LATEST"
    )

    assert priced(One=mapping, Stream=stream).total == 0
    assert priced(One=mapping, Two=mapping).total == Decimal("0.13")


def test_a_queue_that_keeps_the_order_is_asked_at_a_higher_price() -> None:
    def mapping(queue: str) -> Template:
        source = {"Fn::GetAtt": [queue, "Arn"]}
        return resource("AWS::Lambda::EventSourceMapping", EventSourceArn=source)

    figures = priced(
        Wakes=resource("AWS::SQS::Queue", FifoQueue=True),
        Plain=resource("AWS::SQS::Queue"),
        OfWakes=mapping("Wakes"),
        OfPlain=mapping("Plain"),
    )

    (line,) = (line for line in figures.lines if line.price is prices.POLLED_REQUESTS)
    # Five pollers that ask every 20 s, once at $0.40 a million and once at $0.50.
    polls = Decimal(5 * 730 * 3600) / 20 / 1_000_000
    assert line.month_without_free == round(polls * (Decimal("0.40") + Decimal("0.50")), 2)


def test_storage_has_one_allowance_however_much_stores() -> None:
    table = resource("AWS::DynamoDB::Table", BillingMode="PAY_PER_REQUEST")

    assert priced(
        Table=table, A=resource("AWS::S3::Bucket"), B=resource("AWS::Logs::LogGroup")
    ).total == (Decimal("0.50"))


# --- rates --------------------------------------------------------------------------------------


def test_the_rate_of_a_stream_holds_only_what_the_environment_has() -> None:
    rate = next(rate for rate in demo().rates if rate.usage == Usage.STREAM)

    assert [part.what.split(",")[0] for part in rate.parts] == ["load balancer", "CloudFront"]
    assert rate.dollars == Decimal("0.1152") * (Decimal("0.008") + Decimal("0.020"))


def calling(**settings: str) -> Estimate:
    environment_ = [{"Name": name, "Value": value} for name, value in settings.items()]
    task = {**TASK["Properties"], "ContainerDefinitions": [{"Environment": environment_}]}
    return priced(
        Task=resource("AWS::ECS::TaskDefinition", **task),
        Service=service(CapacityProviderStrategy=ON_SPOT),
    )


def speech(rates: Iterable[UsageRate]) -> dict[str, Decimal]:
    return {rate.per.split(",")[0]: rate.dollars for rate in rates if rate.usage == Usage.SPEECH}


def test_what_is_called_has_a_rate_and_is_in_no_total() -> None:
    neither = calling(ENGINE="pocketsphinx")
    both = calling(ENGINE="transcribe", TRANSLATOR="amazon")

    assert speech(neither.rates) == {}
    assert speech(both.rates) == {
        "Amazon Transcribe": Decimal("0.024"),
        "Amazon Translate": Decimal("3.24"),
    }
    assert both.total == neither.total


def test_what_is_not_called_is_named_as_such() -> None:
    figures = calling(ENGINE="transcribe")

    assert speech(figures.rates).keys() == {"Amazon Transcribe"}
    assert speech(figures.not_chosen).keys() == {"Amazon Translate"}
    assert "Not called by this environment" in render(figures)
    assert "Not called" not in render(calling(ENGINE="transcribe", TRANSLATOR="amazon"))
    assert [each["dollars"] for each in to_json(figures)["notChosen"]] == [pytest.approx(3.24)]


MEDICAL = '{"specialty":"UROLOGY","type":"DICTATION"}'


def test_medical_streams_have_a_rate_where_there_can_be_some() -> None:
    never = calling(ENGINE="transcribe", TRANSCRIBE_ALLOWED='{"speaker_labels":true}')
    allowed = calling(ENGINE="transcribe", TRANSCRIBE_ALLOWED='{"medical":true}')
    always = calling(ENGINE="transcribe", TRANSCRIBE_OPTIONS=MEDICAL)

    assert speech(never.rates).keys() == {"Amazon Transcribe"}
    assert "Amazon Transcribe Medical" not in speech(never.not_chosen)
    assert speech(allowed.rates) == {
        "Amazon Transcribe": Decimal("0.024"),
        "Amazon Transcribe Medical": Decimal("0.075"),
    }
    assert speech(always.rates) == {"Amazon Transcribe Medical": Decimal("0.075")}
    assert "Amazon Transcribe" in speech(always.not_chosen)


def test_detection_has_a_rate_where_it_is_chosen() -> None:
    detecting = calling(TRANSLATOR="amazon", TRANSLATE_SOURCE="auto")
    believing = calling(TRANSLATOR="amazon", TRANSLATE_SOURCE="recognised")

    # 720 finals and 12 partials of each, three units at $0.0001.
    assert speech(detecting.rates)["Amazon Comprehend"] == Decimal(720 * 13 * 3) / 10_000
    assert "Amazon Comprehend" not in {**speech(believing.rates), **speech(believing.not_chosen)}


def test_partials_cost_what_the_service_keeps_them_to() -> None:
    assert TranslationPolicy().partial_factor == PARTIAL_FACTOR
    assert TranslationPolicy().partial_every == float(PARTIAL_SECONDS)


def test_restoring_has_its_rate_where_it_is_switched_on() -> None:
    def table(*, restorable: bool) -> Template:
        return resource(
            "AWS::DynamoDB::Table",
            BillingMode="PAY_PER_REQUEST",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": restorable},
        )

    def restores(figures: Estimate) -> bool:
        return any("restored" in rate.per for rate in figures.rates)

    assert restores(priced(Table=table(restorable=True)))
    assert not restores(priced(Table=table(restorable=False)))


# --- templates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ({"Ref": "AWS::NoValue"}, None),
        ({"Ref": "Count"}, "3"),
        ({"Ref": "Resource"}, {"Ref": "Resource"}),
        ({"Fn::If": ["Busy", 2, {"Ref": "Count"}]}, "3"),
        ({"Fn::If": ["Busy", {"Ref": "AWS::NoValue"}, "x"]}, "x"),
        ({"Fn::If": ["Busy", {"Ref": "AWS::NoValue"}, {"Ref": "AWS::NoValue"}]}, None),
        (True, True),
    ],
)
def test_a_value_is_read_as_far_as_it_is_known(value: Any, known: Any) -> None:
    assert resolve(value, {"Count": "3"}) == known


def test_a_parameters_default_counts_tasks() -> None:
    template = {
        "Parameters": {"Tasks": {"Type": "Number", "Default": 2}},
        "Resources": {
            "Task": TASK,
            "Service": service(DesiredCount={"Ref": "Tasks"}, LaunchType="FARGATE"),
        },
    }
    figures = estimate("demo", [Stack(name="s", template=template)])

    assert months(figures)["public IPv4 address"] == Decimal("7.30")


def test_a_note_warns_of_other_prices_in_another_region() -> None:
    elsewhere = Stack(name="s", region="eu-central-1", template={"Resources": {}})

    assert any("eu-central-1" in note for note in estimate("demo", [elsewhere]).notes)


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"artifacts": {"a": {}}}', '{"artifacts": [1]}']
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)

    with pytest.raises(NotAnAssembly):
        read(tmp_path)


def test_a_type_without_a_price_comes_with_what_to_do() -> None:
    with pytest.raises(UnpricedResource) as refused:
        priced(
            Page=resource("AWS::CloudFront::Distribution"),
            **machines(desired=1, types=("g66.xlarge",)),
        )

    message = str(refused.value)
    assert "did you mean g6.xlarge?" in message
    assert "INSTANCES" in message
    assert "can be deployed all the same" in message


def test_where_a_machine_needs_a_network_nothing_is_computed_for_a_shared_load_balancer(
    synthesised: list[Stack],
) -> None:
    figures = of("machines", synthesised)

    assert figures.accounts.sharing is None
    assert to_json(figures)["sharedLoadBalancer"] is None
    printed = render(figures)
    assert "that you have and share" not in printed
    assert "its own load balancer included" in printed


# --- the environments of app.py -------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> list[Stack]:
    """All of app.py's environments, and one with machines, synthesised from built things."""
    folder = tmp_path_factory.mktemp("cost")
    for name in ("api", "router", "batch_worker", "session_combiner", "transcript_processor"):
        (folder / "build" / "functions" / name).mkdir(parents=True)
        (folder / "build" / "functions" / name / "handler.py").touch()
    (folder / "build" / "layer" / "python").mkdir(parents=True)
    (folder / "page" / "assets").mkdir(parents=True)
    (folder / "page" / "index.html").touch()
    artifacts = Artifacts(build=folder / "build", page=folder / "page")
    # Without one's own values.
    context = {**settings(), "aws:cdk:disable-asset-staging": True}
    whole = cdk.App(outdir=str(folder / "out"), context=context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "Artifacts", lambda: artifacts)
        app.build(whole)
    machines_too = environment(
        name="machines",
        region="us-east-1",
        live=live(),
        gpu=GpuConfig(image="registry.example.com/gpu:1", warm_from=None),
        operations=OperationsConfig(),
    )
    accounts = environment(
        name="accounts",
        region="us-east-1",
        live=live(),
        access=CognitoConfig(administrator_email="me@example.org"),
        operations=OperationsConfig(),
    )
    opened = [
        each.model_copy(
            update={"name": f"open{each.name}", "access": OpenConfig(everyone_may_spend=True)}
        )
        for each in app.describe()
        if each.live
    ]
    for each in (machines_too, accounts, *opened):
        stacks.provision(whole, each, artifacts)
    whole.synth()
    return read(folder / "out")


@pytest.mark.parametrize("name", ["local", "demo", "solo", "prod", "machines", "accounts"])
def test_every_resource_of_every_environment_has_a_price(
    name: str, synthesised: list[Stack]
) -> None:
    figures = estimate(name, [each for each in synthesised if each.environment == name])

    assert figures.total > 0


def of(name: str, synthesised: list[Stack]) -> Estimate:
    return estimate(name, [each for each in synthesised if each.environment == name])


ENVIRONMENTS = ("local", "solo", "demo", "prod")


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "machines"])
def test_every_line_is_what_the_table_of_prices_makes_of_it(
    name: str, synthesised: list[Stack]
) -> None:
    for line in of(name, synthesised).lines:
        charged = max(Decimal(0), line.quantity - line.price.free)
        hours = 730 if line.price.hourly else 1
        assert abs(line.month - charged * line.price.dollars * hours) <= Decimal("0.005"), line


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_documentation_agrees_with_the_computed_costs(
    name: str, synthesised: list[Stack]
) -> None:
    figures = of(name, synthesised)
    text = (ROOT / "docs" / "costs.md").read_text()

    more = sum(line.month_without_free for line in figures.lines) - figures.total
    sharing = figures.accounts.sharing
    shared = "" if sharing is None else f"${sharing:.2f}"
    row = f"| `{name}` | ${figures.accounts.empty:.2f} | {shared} | ${more:.2f} |"
    assert row.replace("|  |", "| |") in text


@pytest.mark.parametrize("name", ENVIRONMENTS[1:])
def test_whoever_reads_how_to_deploy_reads_what_an_empty_account_pays(
    name: str, synthesised: list[Stack]
) -> None:
    empty = f"${of(name, synthesised).accounts.empty:.2f}"

    for document in ("README.md", "docs/deploy.md"):
        rows = (ROOT / document).read_text().splitlines()
        (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
        assert empty in row, document


@pytest.mark.parametrize("name", ["solo", "demo"])
def test_the_documentations_lines_add_up(name: str, synthesised: list[Stack]) -> None:
    text = (ROOT / "docs" / "costs.md").read_text()
    _, _, section = text.partition(f"\n## {name}, under $10")
    table = section.partition("\n## ")[0]

    amounts = re.findall(r"^\| .* \| \$(\d+\.\d\d) \|$", table, flags=re.MULTILINE)

    assert sum(map(Decimal, amounts)) == of(name, synthesised).total


def test_the_first_way_to_deploy_is_that_of_an_empty_account(synthesised: list[Stack]) -> None:
    empty = f"${of('solo', synthesised).accounts.empty:.2f} a month"
    for document in ("README.md", "docs/deploy.md"):
        text = (ROOT / document).read_text()
        first = text.index("make deploy ENV=")
        assert text[first:].startswith("make deploy ENV=solo"), document
        assert empty in text[: text.index("\n\n", first)], document


def test_a_day_costs_as_documented(synthesised: list[Stack]) -> None:
    solo, demo = (
        of(name, synthesised).accounts.empty * 24 / prices.HOURS_PER_MONTH
        for name in ("solo", "demo")
    )
    deploy, costs = (
        " ".join((ROOT / "docs" / name).read_text().split()) for name in ("deploy.md", "costs.md")
    )

    assert f"cost ${solo:.2f} a day in between" in deploy
    assert f"with a load balancer of its own ${demo:.2f}." in deploy
    assert f"deploy and destroy it: ${solo:.2f} (" in costs
    assert f"or ${demo:.2f} a day." in costs


def test_an_empty_account_pays_what_is_computed_for_it(
    tmp_path: Path, synthesised: list[Stack]
) -> None:
    own = {"demo": {"live": {"load_balancer": {"kind": "dedicated"}}}, "environment": "demo"}
    whole = cdk.App(outdir=str(tmp_path / "out"), context={**settings(), **own})
    app.build(whole, built(tmp_path / "built"))
    whole.synth()

    assert estimate("demo", read(tmp_path / "out")).accounts == of("demo", synthesised).accounts


@pytest.mark.parametrize("name", ENVIRONMENTS[1:])
def test_a_budget_is_above_what_an_empty_account_pays_before_anybody_speaks(
    name: str, synthesised: list[Stack]
) -> None:
    figures = of(name, synthesised)
    limits = {
        next(iter(budget["CostFilters"])): Decimal(str(budget["BudgetLimit"]["Amount"]))
        for stack_ in synthesised
        if stack_.environment == name
        for each in stack_.template["Resources"].values()
        if each["Type"] == "AWS::Budgets::Budget"
        for budget in [each["Properties"]["Budget"]]
    }

    # The first mail comes at 80 %, which must not be what every month costs.
    assert figures.accounts.empty < limits["TagKeyValue"] * Decimal("0.8")
    hours = limits["Service"] / (60 * prices.TRANSCRIBE_MINUTE)
    text = (ROOT / "docs" / "costs.md").read_text()
    row = f"| `{name}` | ${limits['TagKeyValue']} | ${limits['Service']} | {hours:.0f} hours |"
    assert row in text


def test_the_documentation_names_the_price_of_speech(synthesised: list[Stack]) -> None:
    figures = estimate("prod", [each for each in synthesised if each.environment == "prod"])
    text = (ROOT / "docs" / "costs.md").read_text()

    computed = {**speech(figures.rates), **speech(figures.not_chosen)}
    assert (
        f"| Amazon Transcribe, an hour of a stream | ${60 * computed['Amazon Transcribe']:.2f} |"
        in text
    )
    assert f"at most ${computed['Amazon Translate']:.2f} |" in text
    assert f"at most ${DETECT.dollars:.2f} |" in text
    medical = f"${60 * TRANSCRIBE_MEDICAL.dollars:.2f}"
    assert f"| Amazon Transcribe Medical, an hour of a stream | {medical} |" in text


def test_under_ten_dollars_a_month_without_transcribe(synthesised: list[Stack]) -> None:
    assert of("solo", synthesised).accounts.empty < 10
    assert of("demo", synthesised).total < 10, "where there is a load balancer to share"


def test_the_documentation_names_the_price_of_an_hour_of_audio(synthesised: list[Stack]) -> None:
    figures = estimate("machines", [each for each in synthesised if each.environment == "machines"])
    costs = {rate.per.rpartition(", ")[2]: rate.dollars for rate in figures.rates}
    text = (ROOT / "docs" / "costs.md").read_text()

    for kind in ("g6.xlarge", "g4dn.xlarge"):
        spot, dear = costs[f"{kind} Spot"], costs[f"{kind} on demand"]
        line = f"| an hour of audio on a {kind} | ${spot:.3f} Spot, ${dear:.3f} on demand |"
        assert line in text
    assert f"if {ASSUMED_SPEED:g} hours of audio take an hour" in text


def test_machines_cost_nothing_while_there_is_nothing_to_do(synthesised: list[Stack]) -> None:
    figures = estimate("machines", [each for each in synthesised if each.environment == "machines"])

    assert not any(line.price.what.startswith("EC2") for line in figures.lines)
    assert any(rate.usage == Usage.GPU for rate in figures.rates)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("opendemo", "$518"),
        ("opensolo", "$518"),
        ("openprod", "$10,368"),
        ("demo", None),
        ("solo", None),
        ("prod", None),
        ("accounts", None),
    ],
)
def test_what_strangers_can_spend_is_said_where_nobody_signs_in(
    name: str, day: str | None, synthesised: list[Stack]
) -> None:
    said = [note for note in of(name, synthesised).notes if note.startswith("ACCESS IS OPEN")]
    page = (ROOT / "docs" / "costs.md").read_text()

    assert [f"up to {day} a day" in note for note in said] == ([] if day is None else [True])
    assert day is None or day in page


@pytest.mark.parametrize("name", ["demo", "solo", "prod"])
def test_accounts_add_to_an_environment_what_is_documented(
    name: str, synthesised: list[Stack]
) -> None:
    added = of(name, synthesised).total - of(f"open{name}", synthesised).total

    assert f"Accounts add ${added:.2f} a month" in (ROOT / "docs" / "costs.md").read_text()


def test_accounts_cost_a_secret_and_what_is_used(synthesised: list[Stack]) -> None:
    figures = of("accounts", synthesised)
    secrets = [line for line in figures.lines if line.price is prices.SECRET]
    rates = {rate.per: rate.dollars for rate in figures.rates}
    page = (ROOT / "docs" / "access.md").read_text()

    # A dedicated load balancer has none.
    assert [line.quantity for line in secrets] == [1]
    assert rates["a person who signs in in a month, beyond 10,000"] == Decimal("0.015")
    for per in (
        "a million requests to the API of accounts",
        "a million requests that the API refuses",
    ):
        assert f"${rates[per]:.2f}" in page
