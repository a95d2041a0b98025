"""What an environment still needs before it can be deployed: values that only you know.

Its templates can be written and priced without them. `make deploy` looks first, before it builds;
a synth reports the same sentences as warnings, which a deployment takes for errors.
"""

from __future__ import annotations

from typing import Final

from infra.config.access import CognitoConfig
from infra.config.environment import Environment
from infra.config.load_balancers import SharedLoadBalancer

#: The account of AWS's own examples.
EXAMPLE_ACCOUNT: Final = "111111111111"


def list_missing(environment: Environment) -> list[str]:
    """Return a sentence for each value that is missing; none if it can be deployed."""
    found = (explain_administrator(environment), explain_load_balancer(environment))
    return [sentence for sentence in found if sentence]


def explain_administrator(environment: Environment) -> str | None:
    """Return how to name the first administrator of a user pool that has none."""
    access = environment.access
    if not isinstance(access, CognitoConfig) or access.administrator_email:
        return None
    name = environment.name
    return (
        f"{name}: nobody could sign in, so write the e-mail address of the first administrator "
        f'into cdk.context.json: {{"{name}": {{"access": {{"administrator_email": '
        '"you@example.org"}}} (docs/access.md).'
    )


def explain_load_balancer(environment: Environment) -> str | None:
    """Return how to choose a load balancer where app.py has a placeholder."""
    balancer = environment.live.load_balancer if environment.live else None
    if not isinstance(balancer, SharedLoadBalancer) or balancer.account != EXAMPLE_ACCOUNT:
        return None
    return (
        f"{environment.name}: the load balancer of app.py stands for one of yours and cannot be "
        "deployed to. Name yours in cdk.context.json, or choose a dedicated one; docs/deploy.md "
        "says how. In an empty account deploy solo."
    )
