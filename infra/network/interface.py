"""What capabilities need to know of the network that they run in."""

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
        """Where tasks and machines run; they can reach AWS from there."""

    @property
    def inner_subnets(self) -> ec2.SubnetSelection:
        """Where an internal load balancer and functions run; nothing enters from outside."""

    @property
    def public_addresses(self) -> bool:
        """Whether tasks need a public address to reach AWS."""
