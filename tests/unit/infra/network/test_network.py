"""What a network of our own is, and that a shared one is left alone."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from infra.aws.prefix_lists import CLOUDFRONT_ORIGIN_FACING, UnknownRegion, cloudfront_origin_facing
from infra.aws.zones import SUITABLE
from infra.config.load_balancers import SharedLoadBalancer
from infra.config.network import NetworkConfig
from infra.network.own import OwnNetwork
from infra.network.shared import SharedNetwork

pytestmark = pytest.mark.unit


def _own(**chosen: Any) -> tuple[OwnNetwork, Template]:
    stack = cdk.Stack(cdk.App(), "network")
    network = OwnNetwork(stack, "Network", network=NetworkConfig(**chosen))
    return network, Template.from_stack(stack)


@pytest.fixture(scope="module")
def plain() -> tuple[OwnNetwork, Template]:
    return _own()


@pytest.fixture(scope="module")
def costly() -> tuple[OwnNetwork, Template]:
    return _own(cidr="10.30.0.0/22", zones=3, nat_gateways=1, flow_logs=True)


def test_tasks_reach_aws_without_a_nat_gateway(plain: tuple[OwnNetwork, Template]) -> None:
    network, template = plain

    assert network.public_addresses
    assert network.vpc.select_subnets(subnet_type=network.task_subnets.subnet_type).has_public
    assert not template.find_resources("AWS::EC2::NatGateway")


def test_inner_subnets_have_no_way_to_the_internet(plain: tuple[OwnNetwork, Template]) -> None:
    network, template = plain
    inner = {subnet.node.path for subnet in network.vpc.isolated_subnets}

    routes = template.find_resources("AWS::EC2::Route").values()
    tables = [route["Properties"]["RouteTableId"]["Ref"] for route in routes]
    assert inner
    assert not network.vpc.select_subnets(subnet_type=network.inner_subnets.subnet_type).has_public
    assert all("Public" in table for table in tables)


def test_nothing_gets_a_public_address_unasked(plain: tuple[OwnNetwork, Template]) -> None:
    _, template = plain

    template.all_resources_properties("AWS::EC2::Subnet", {"MapPublicIpOnLaunch": False})


@pytest.mark.parametrize("service", ["s3", "dynamodb"])
def test_storage_is_reached_through_a_gateway_that_costs_nothing(
    plain: tuple[OwnNetwork, Template], service: str
) -> None:
    _, template = plain

    template.has_resource_properties(
        "AWS::EC2::VPCEndpoint",
        {
            "VpcEndpointType": "Gateway",
            "ServiceName": Match.object_like(
                {"Fn::Join": ["", Match.array_with([Match.string_like_regexp(service)])]}
            ),
        },
    )


def test_with_nat_gateways_tasks_stand_inside(costly: tuple[OwnNetwork, Template]) -> None:
    network, _ = costly

    selected = network.vpc.select_subnets(subnet_type=network.task_subnets.subnet_type)
    assert not network.public_addresses
    assert not selected.has_public
    assert len(selected.subnets) == 3, "one in each zone"


def test_flow_logs_are_kept_for_two_weeks(costly: tuple[OwnNetwork, Template]) -> None:
    _, template = costly

    template.has_resource_properties(
        "AWS::EC2::FlowLog", {"TrafficType": "REJECT", "LogDestinationType": "cloud-watch-logs"}
    )
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 14})


def test_zones_are_those_that_the_account_has(plain: tuple[OwnNetwork, Template]) -> None:
    _, template = plain

    template.all_resources_properties(
        "AWS::EC2::Subnet", {"AvailabilityZone": {"Fn::Select": Match.any_value()}}
    )


def test_where_a_zone_lacks_something_subnets_are_placed_by_the_zones_ids() -> None:
    stack = cdk.Stack(cdk.App(), "network", env=cdk.Environment(region="us-east-1"))
    network = OwnNetwork(stack, "Network", network=NetworkConfig(zones=3))

    zones: dict[str, set[str]] = {"Public": set(), "Inner": set()}
    for name, subnet in Template.from_stack(stack).find_resources("AWS::EC2::Subnet").items():
        assert "AvailabilityZone" not in subnet["Properties"], "one of the two only"
        zones["Public" if "Public" in name else "Inner"].add(
            subnet["Properties"]["AvailabilityZoneId"]
        )

    assert network.vpc.public_subnets
    assert zones["Public"] == zones["Inner"] == set(SUITABLE["us-east-1"])
    assert "use1-az3" not in zones["Public"], "neither VPC origins nor Fargate on ARM64"


def test_a_shared_network_is_referred_to_and_nothing_is_made() -> None:
    stack = cdk.Stack(cdk.App(), "data")

    network = SharedNetwork(
        stack,
        "Network",
        load_balancer=SharedLoadBalancer(
            listener_arn="arn:aws:elasticloadbalancing:eu-west-1:111111111111:listener/app/a/b/c",
            domain_name="shared.example.com",
            security_group_id="sg-0123456789abcdef0",
            vpc_id="vpc-0123456789abcdef0",
            subnet_ids=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
            availability_zones=("eu-west-1a", "eu-west-1b"),
        ),
    )

    assert network.vpc.vpc_id == "vpc-0123456789abcdef0"
    assert [s.subnet_id for s in network.task_subnets.subnets or []] == [
        "subnet-0123456789abcdef0",
        "subnet-0123456789abcdef1",
    ]
    assert network.public_addresses
    assert "Resources" not in Template.from_stack(stack).to_json()


def test_cloudfronts_addresses_are_known_by_region() -> None:
    assert cloudfront_origin_facing("us-east-1") == "pl-3b927c52"
    assert len(set(CLOUDFRONT_ORIGIN_FACING.values())) == len(CLOUDFRONT_ORIGIN_FACING)
    with pytest.raises(UnknownRegion, match="af-south-1"):
        cloudfront_origin_facing("af-south-1")
