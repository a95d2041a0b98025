"""cdk-nag: a finding is fixed, or accepted with a reason at the narrowest construct."""

from __future__ import annotations

from collections.abc import Mapping

import cdk_nag
from aws_cdk import Acknowledgment, App, CfnElement, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def check(app: App) -> None:
    """Make a synth fail on findings of AWS's general and serverless rules."""
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app), cdk_nag.ServerlessChecks(app))


def accept(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept a finding on `construct` and below; the narrower the construct the better.

    Args:
        construct: where it is accepted.
        finding: its id, e.g. `AwsSolutions-IAM5[Resource::*]`.
        reason: why.
    """
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def accept_all(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept several findings; `reasons` has the reason of each by its id."""
    for finding, reason in reasons.items():
        accept(construct, finding, reason)


def accept_registry_login(role: iam.IRole) -> None:
    """Accept the right of a role that pulls or pushes images to log in to Amazon ECR."""
    accept(
        role,
        "AwsSolutions-IAM5[Resource::*]",
        "ecr:GetAuthorizationToken, which is about no resource: AWS knows it only for `*`.",
    )


def shown_id(construct: IConstruct) -> str:
    """Return the logical id of a construct's resource, by which findings refer to it."""
    resource = construct.node.default_child
    assert isinstance(resource, CfnElement)  # noqa: S101 - what a construct of the CDK is made of
    return str(Stack.of(construct).resolve(resource.logical_id))
