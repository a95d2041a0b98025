"""The network of an environment, as the capabilities in it see it."""

from __future__ import annotations

from typing import Protocol

from aws_cdk import aws_ec2 as ec2


class EnvironmentNetwork(Protocol):
    """The network of an environment."""

    @property
    def vpc(self) -> ec2.IVpc:
        """The network itself."""

    @property
    def task_subnets(self) -> ec2.SubnetSelection:
        """The subnets of tasks and machines, which can reach AWS."""

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """The subnets of internal load balancers and functions; nothing enters from outside."""

    @property
    def public_addresses(self) -> bool:
        """Whether tasks need a public address to reach AWS."""
