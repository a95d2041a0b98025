"""The network of an environment that has its own."""

from __future__ import annotations

from aws_cdk import Fn, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.aws.zones import zone_ids
from infra.common.nag import accept
from infra.config.network import NetworkConfig

#: Refused connections are investigated soon or not at all.
FLOW_LOG_RETENTION = logs.RetentionDays.TWO_WEEKS
#: Bits of a subnet's prefix: 123 usable addresses, and six subnets fit into the smallest network.
SUBNET_BITS = 25


class OwnNetwork(Construct):
    """A network that belongs to the environment.

    It has public subnets, and inner ones that nothing enters from outside. S3 and DynamoDB are
    reached through gateways, which cost nothing. With NAT gateways the inner subnets have a way
    out, and tasks run there instead of in the public ones.

    CloudFront's VPC origins require an internet gateway, although none of their traffic passes it.

    Attributes: see `EnvironmentNetwork`.
    """

    def __init__(self, scope: Construct, construct_id: str, *, network: NetworkConfig) -> None:
        """Make the network in the region's first suitable availability zones."""
        super().__init__(scope, construct_id)
        has_nat = network.nat_gateways > 0
        inner = ec2.SubnetType.PRIVATE_WITH_EGRESS if has_nat else ec2.SubnetType.PRIVATE_ISOLATED
        self.public_addresses = not has_nat
        self.inner_subnets = ec2.SubnetSelection(subnet_type=inner)
        self.task_subnets = (
            self.inner_subnets
            if has_nat
            else ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
        )
        self.vpc = ec2.Vpc(
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
                    # Whatever needs a public address requests one.
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
            # Nothing uses the default group, and it admits its own members only. To empty it, the
            # CDK would add a function with the right to change security groups.
            restrict_default_security_group=False,
        )
        self._place_subnets(zone_ids(Stack.of(self).region))
        if network.flow_logs:
            self._log_refused_connections()
        else:
            accept(
                self.vpc,
                "AwsSolutions-VPC7",
                "Flow logs are a choice of the environment; this one does "
                "without, for they cost by the gigabyte.",
            )

    def _place_subnets(self, zones: tuple[str, ...]) -> None:
        """Put the subnets of each kind into these zones, in order; no zones: leave them."""
        for kind in (
            self.vpc.public_subnets,
            self.vpc.private_subnets,
            self.vpc.isolated_subnets,
        ):
            for subnet, zone in zip(kind, zones, strict=False):
                resource = subnet.node.default_child
                assert isinstance(resource, ec2.CfnSubnet)  # noqa: S101 - what a Subnet is made of
                # The CDK knows zones by name only, and CloudFormation takes a name or an id.
                resource.availability_zone_id = zone
                resource.add_property_deletion_override("AvailabilityZone")

    def _log_refused_connections(self) -> None:
        """Log refused connections only; accepted ones are in the access logs."""
        log_group = logs.LogGroup(
            self, "FlowLogs", retention=FLOW_LOG_RETENTION, removal_policy=RemovalPolicy.DESTROY
        )
        self.vpc.add_flow_log(
            "Refused",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
