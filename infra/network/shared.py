"""The network of a shared load balancer."""

from __future__ import annotations

from aws_cdk import Annotations
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.config.load_balancers import SharedLoadBalancer


class SharedNetwork(Construct):
    """A reference to the network in which a shared load balancer runs; nothing changes it.

    Attributes: see `EnvironmentNetwork`.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, load_balancer: SharedLoadBalancer
    ) -> None:
        """Refer to the network from the stack of `scope`, which gets no resource for it."""
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=load_balancer.vpc_id,
            availability_zones=list(load_balancer.availability_zones),
            public_subnet_ids=list(load_balancer.subnet_ids),
        )
        for subnet in self.vpc.public_subnets:
            # No route is added to the subnets of others, so their route tables need no name.
            Annotations.of(subnet).acknowledge_warning("@aws-cdk/aws-ec2:noSubnetRouteTableId")
        self.task_subnets = ec2.SubnetSelection(subnets=self.vpc.public_subnets)
        # The environment names no other subnets, and whether these have a NAT gateway is not known.
        self.inner_subnets = self.task_subnets
        self.public_addresses = True
