"""The CDK app: one explicit call per environment.

    make synth ENV=demo       make cost ENV=demo       make deploy ENV=demo

Values of your own account (a shared load balancer, a domain, an e-mail address) go into
`cdk.context.json` under the environment's name, in the shape of
`infra.config.environment.Environment`; docs/deploy.md has examples. Everything else is decided
here.

`python app.py demo` synthesises nothing. It says what a deployment of `demo` still needs, so that
`make deploy` knows before it builds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from pydantic import ValidationError

from foundation.invalid import explain_each
from infra.common import nag
from infra.common.artifacts import Artifacts
from infra.config import own_values
from infra.config.access import CognitoConfig
from infra.config.data import DataConfig
from infra.config.deployable import list_missing
from infra.config.environment import Environment
from infra.config.functions import Canary, FunctionsConfig
from infra.config.live import LiveConfig
from infra.config.load_balancers import DedicatedLoadBalancer, NoLoadBalancer, SharedLoadBalancer
from infra.config.network import NetworkConfig
from infra.config.operations import OperationsConfig
from infra.config.own_values import WrongContext, with_own_values
from infra.config.recognition import TranscribeConfig
from infra.config.service import ServiceConfig
from infra.stacks import provision

#: A placeholder for a load balancer of yours; AWS's example account cannot be deployed to.
EXAMPLE_LOAD_BALANCER = SharedLoadBalancer(
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


def describe() -> tuple[Environment, ...]:
    """Return every environment, without values of your own account."""
    return (
        # The embedded emulator of `make demo`: data and functions only.
        Environment(
            name="local",
            region="us-east-1",
            data=DataConfig(protected=False),
            functions=FunctionsConfig(
                canary=None, with_dependencies=False, processor_concurrency=2
            ),
        ),
        # An existing load balancer, and one task on Spot. In an account without a load balancer to
        # share, a dedicated one costs twice as much as the rest; `solo` costs under $10 a month
        # there. People sign in, and the first administrator's address is a value of your own.
        # `demo` takes four of an account's default 25 streams ($5.76 an hour) and starts one a
        # second. AWS charges at least 15 s a stream, so whoever may speak spends $21.60 an hour at
        # most.
        Environment(
            name="demo",
            region="us-east-1",
            data=DataConfig(protected=False, utterance_days=7, recording_days=7),
            functions=FunctionsConfig(canary=None),
            access=CognitoConfig(),
            live=LiveConfig(
                load_balancer=EXAMPLE_LOAD_BALANCER,
                service=ServiceConfig(
                    cpu=256,
                    memory_mib=512,
                    engine=TranscribeConfig(quota=4, starts_per_second=1),
                    max_stream_seconds=30,
                    on_demand_base=0,
                    drain_seconds=45,
                ),
            ),
            # Enough for a load balancer of its own, and ten hours of streams.
            operations=OperationsConfig(monthly_budget_usd=46, speech_budget_usd=15),
        ),
        # One small machine and no load balancer, under $10 a month in an empty account. It offers
        # the same as the demo, but a deployment interrupts it for a minute.
        Environment(
            name="solo",
            region="us-east-1",
            data=DataConfig(protected=False, utterance_days=7, recording_days=7),
            functions=FunctionsConfig(canary=None),
            access=CognitoConfig(),
            live=LiveConfig(
                load_balancer=NoLoadBalancer(),
                service=ServiceConfig(
                    engine=TranscribeConfig(quota=4, starts_per_second=1),
                    viewers=1000,
                    max_stream_seconds=30,
                    drain_seconds=45,
                ),
            ),
            # Includes five and a half hours of streams.
            operations=OperationsConfig(monthly_budget_usd=20, speech_budget_usd=8),
        ),
        # For people who rely on the service.
        Environment(
            name="prod",
            region="us-east-1",
            data=DataConfig(
                protected=True,
                point_in_time_recovery_days=35,
                utterance_days=365,
                recording_days=None,
            ),
            functions=FunctionsConfig(canary=Canary(minutes=5), log_days=90),
            access=CognitoConfig(),
            live=LiveConfig(
                load_balancer=DedicatedLoadBalancer(network=NetworkConfig(zones=2, flow_logs=True)),
                service=ServiceConfig(
                    # Streams use a few hundredths of it; the rest is for viewers.
                    cpu=512,
                    memory_mib=1024,
                    engine=TranscribeConfig(),
                    # Eight streams a task, so that all tasks stay within the account's quota.
                    minimum_tasks=2,
                    maximum_tasks=3,
                    on_demand_base=1,
                    drain_seconds=105,
                    log_days=90,
                ),
                access_logs=True,
            ),
            operations=OperationsConfig(monthly_budget_usd=200),
            termination_protection=True,
        ),
    )


def build(app: cdk.App, artifacts: Artifacts | None = None) -> None:
    """Provision the chosen environment, or all; `artifacts` are those of `make build` unless given.

    Raises:
        WrongContext: the context's values make an environment that cannot be provisioned.
        MissingArtifact: something was not built.
    """
    for environment in with_own_values(describe(), app.node.get_all_context()):
        provision(app, environment, artifacts)


def main(arguments: Sequence[str] = ()) -> int:
    """Synthesise, or check the environment that is named; return the exit status."""
    try:
        # The CDK's command line reads the file, too, but silently keeps the last of two equal keys.
        own = own_values.read(Path(__file__).parent / own_values.FILE)
        if arguments:
            return _check(arguments[0], own)
        _synthesise()
    except (ValidationError, WrongContext, FileNotFoundError) as error:
        words = explain_each(error) if isinstance(error, ValidationError) else [error]
        print(*words, sep="\n", file=sys.stderr)
        return 1
    return 0


def _check(name: str, own: Mapping[str, Any]) -> int:
    """Print what a deployment of an environment still needs; return 1 if there is something."""
    [environment] = with_own_values(describe(), {**own, own_values.CHOICE: name})
    missing = list_missing(environment)
    for sentence in missing:
        print(sentence, file=sys.stderr)
    return 1 if missing else 0


def _synthesise() -> None:
    # The tests check CloudFormation's rules with cfn-lint; the CDK's own check of the same rules
    # takes six seconds of every synth.
    app = cdk.App(builtin_cloud_formation_validation=False)
    nag.check(app)
    build(app)
    app.synth()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
