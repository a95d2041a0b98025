"""The network of a shared load balancer."""

from __future__ import annotations

from aws_cdk import Annotations
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.config.load_balancers import SharedLoadBalancer


class SharedNetwork(Construct):
    """A reference to the network in which a shared load balancer runs; nothing changes it."""

    def __init__(
        self, scope: Construct, construct_id: str, *, load_balancer: SharedLoadBalancer
    ) -> None:
        """Refer to the network from the stack of `scope`, which gets no resource for it."""
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
        """The public subnets that the environment names."""
        return ec2.SubnetSelection(subnets=self._vpc.public_subnets)

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """The same subnets: the environment names no others."""
        return self.task_subnets

    @property
    def public_addresses(self) -> bool:
        """Always true: whether the network has a NAT gateway is not known."""
        return True
