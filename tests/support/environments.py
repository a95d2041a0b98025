"""Environments for tests: small, right, and easy to spoil."""

from __future__ import annotations

from typing import Any

from infra.config.access import OpenConfig
from infra.config.data import DataConfig
from infra.config.environment import Environment
from infra.config.functions import FunctionsConfig
from infra.config.live import LiveConfig
from infra.config.load_balancers import DedicatedLoadBalancer, SharedLoadBalancer
from infra.config.service import ServiceConfig

SHARED = SharedLoadBalancer(
    listener_arn="arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/1/2",
    domain_name="alb.example.org",
    security_group_id="sg-0123456789abcdef0",
    vpc_id="vpc-0123456789abcdef0",
    subnet_ids=("subnet-0123456789abcdef0",),
    availability_zones=("eu-west-1a",),
)
DEDICATED = DedicatedLoadBalancer()


def environment(**changes: Any) -> Environment:
    """Return an environment of data and functions, with fields replaced by `changes`."""
    return Environment(
        **{
            "name": "test",
            "region": "eu-west-1",
            "data": DataConfig(protected=False),
            "functions": FunctionsConfig(canary=None),
            "access": OpenConfig(everyone_may_spend=True),
            **changes,
        }
    )


def live(**changes: Any) -> LiveConfig:
    """Return live captions with a dedicated load balancer, with fields replaced by `changes`."""
    return LiveConfig(**{"load_balancer": DEDICATED, "service": ServiceConfig(), **changes})
