"""cdk-nag: every finding is mended, or accepted at the narrowest construct with its reason."""

from __future__ import annotations

from collections.abc import Mapping

import cdk_nag
from aws_cdk import Acknowledgment, App, Validations
from constructs import IConstruct


def check(app: App) -> None:
    """Have a synth fail on what AWS's general and serverless rules find."""
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app), cdk_nag.ServerlessChecks(app))


def accept(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings on `construct` and below.

    Args:
        construct: where they are accepted; the narrower the better.
        reasons: the finding's id, e.g. `AwsSolutions-IAM5[Resource::*]`, to the reason.
    """
    for finding, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
