"""Networks: one of our own, or that of a shared load balancer.

Nothing here needs a NAT gateway. Tasks stand in public subnets with an address of their own to
reach AWS, and a security group that lets nobody in but the load balancer.
"""

from __future__ import annotations

from typing import Protocol

from aws_cdk import Annotations, Fn, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.aws.zones import zone_ids
from infra.common import nag
from infra.config import environment

#: What was refused is looked at soon, or not at all.
FLOW_LOG_RETENTION = logs.RetentionDays.TWO_WEEKS
#: Bits of a subnet's prefix: 123 usable addresses, and six subnets fit into the smallest network.
SUBNET_BITS = 25


class Network(Protocol):
    """What capabilities need to know of a network."""

    @property
    def vpc(self) -> ec2.IVpc:
        """The network itself."""

    @property
    def task_subnets(self) -> ec2.SubnetSelection:
        """Where tasks and machines stand; they can reach AWS from there."""

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """Where an internal load balancer and functions stand; nothing enters from outside."""

    @property
    def public_addresses(self) -> bool:
        """Whether tasks need a public address to reach AWS."""


class OwnNetwork(Construct):
    """A network that belongs to the environment.

    Public subnets, and inner ones without a way in. S3 and DynamoDB are reached through
    gateways, which cost nothing. With NAT gateways the inner subnets have a way out, and tasks
    stand there instead of in the public ones.

    The internet gateway is also what CloudFront's VPC origins insist on, although none of their
    traffic passes it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, network: environment.Network
    ) -> None:
        """Make the network in the region's first availability zones that have what it takes."""
        super().__init__(scope, construct_id)
        self._has_nat = network.nat_gateways > 0
        inner = (
            ec2.SubnetType.PRIVATE_WITH_EGRESS if self._has_nat else ec2.SubnetType.PRIVATE_ISOLATED
        )
        self._vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(network.cidr),
            availability_zones=[Fn.select(zone, Fn.get_azs()) for zone in range(network.zones)],
            nat_gateways=network.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Public",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=SUBNET_BITS,
                    # Who needs an address asks for it.
                    map_public_ip_on_launch=False,
                ),
                ec2.SubnetConfiguration(name="Inner", subnet_type=inner, cidr_mask=SUBNET_BITS),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDB": ec2.GatewayVpcEndpointOptions(
                    service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
            },
            # Nothing is in the default group, and it lets in only its own members. To empty it
            # would take a function with the right to change security groups.
            restrict_default_security_group=False,
        )
        self._place(zone_ids(Stack.of(self).region))
        if network.flow_logs:
            self._log_what_is_refused()
        else:
            nag.accept(
                self._vpc,
                {
                    "AwsSolutions-VPC7": "Flow logs are a choice of the environment; this one does "
                    "without, for they cost by the gigabyte."
                },
            )

    def _place(self, zones: tuple[str, ...]) -> None:
        """Put the subnets into zones named by their ids, if any are given, each in its turn."""
        for kind in (
            self._vpc.public_subnets,
            self._vpc.private_subnets,
            self._vpc.isolated_subnets,
        ):
            for subnet, zone in zip(kind, zones, strict=False):
                resource = subnet.node.default_child
                assert isinstance(resource, ec2.CfnSubnet)  # noqa: S101 - what a Subnet is made of
                # The CDK knows zones by name only, and CloudFormation takes one of the two.
                resource.availability_zone_id = zone
                resource.add_property_deletion_override("AvailabilityZone")

    def _log_what_is_refused(self) -> None:
        """Log refused connections only: those that were let in are in the access logs."""
        log_group = logs.LogGroup(
            self, "FlowLogs", retention=FLOW_LOG_RETENTION, removal_policy=RemovalPolicy.DESTROY
        )
        self._vpc.add_flow_log(
            "Refused",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )

    @property
    def vpc(self) -> ec2.IVpc:
        """The network itself."""
        return self._vpc

    @property
    def task_subnets(self) -> ec2.SubnetSelection:
        """Public subnets, or inner ones when they have a way out."""
        if self._has_nat:
            return self.inner_subnets
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """Subnets that nobody outside can reach."""
        return ec2.SubnetSelection(
            subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS
            if self._has_nat
            else ec2.SubnetType.PRIVATE_ISOLATED
        )

    @property
    def public_addresses(self) -> bool:
        """Only without NAT gateways."""
        return not self._has_nat


class SharedNetwork(Construct):
    """The network in which a shared load balancer stands; it is referred to, and never changed."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        load_balancer: environment.SharedLoadBalancer,
    ) -> None:
        """Refer to the network from the stack of `scope`, to which nothing is added by it."""
        super().__init__(scope, construct_id)
        self._vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=load_balancer.vpc_id,
            availability_zones=list(load_balancer.availability_zones),
            public_subnet_ids=list(load_balancer.subnet_ids),
        )
        for subnet in self._vpc.public_subnets:
            # No route is added to the subnets of others, so their route tables need no name.
            Annotations.of(subnet).acknowledge_warning("@aws-cdk/aws-ec2:noSubnetRouteTableId")

    @property
    def vpc(self) -> ec2.IVpc:
        """The network itself."""
        return self._vpc

    @property
    def task_subnets(self) -> ec2.SubnetSelection:
        """The public subnets that were named."""
        return ec2.SubnetSelection(subnets=self._vpc.public_subnets)

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """The same subnets: nothing is known of others."""
        return self.task_subnets

    @property
    def public_addresses(self) -> bool:
        """Always: whether the network has a NAT gateway is not known."""
        return True
