"""The issuers of pipelines' tokens, and the subjects that may take each role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infra.config.delivery import DeliveryConfig

#: The branch from which images are published and environments deployed.
BRANCH: Final = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """The subjects in one issuer's tokens that may take each role."""

    deploy: str
    publish: str
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer of tokens to pipelines, and what it writes into them."""

    name: str
    #: Without the scheme, as in IAM's conditions.
    url: str
    audience: str
    subjects: Subjects


def list_issuers(delivery: DeliveryConfig, environment_name: str) -> Iterator[Issuer]:
    """Yield the issuers that `delivery` trusts."""
    if repository := delivery.github_repository:
        yield Issuer(
            name="GitHub",
            url="token.actions.githubusercontent.com",
            audience="sts.amazonaws.com",
            subjects=Subjects(
                deploy=f"repo:{repository}:environment:{environment_name}",
                publish=f"repo:{repository}:ref:refs/heads/{BRANCH}",
                diff=f"repo:{repository}:pull_request",
            ),
        )
    if connection := delivery.azure_service_connection:
        yield Issuer(
            name="Azure",
            url=f"vstoken.dev.azure.com/{delivery.azure_organization_id}",
            audience="api://AzureADTokenExchange",
            subjects=Subjects(
                deploy=f"sc://{connection}",
                publish=f"sc://{connection}-publish",
                diff=f"sc://{connection}-diff",
            ),
        )
