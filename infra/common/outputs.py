"""Outputs of stacks, under the exact names that commands and pipelines read."""

from __future__ import annotations

from aws_cdk import CfnOutput
from constructs import Construct


def add_output(scope: Construct, name: str, value: str, *, description: str | None = None) -> None:
    """Add an output to the stack of `scope`, with `name` as its logical id."""
    output = CfnOutput(scope, name, value=value, description=description)
    output.override_logical_id(name)


def add_outputs(scope: Construct, **values: str) -> None:
    """Add several outputs by name."""
    for name, value in values.items():
        add_output(scope, name, value)
