"""Reads synthesised templates as a reviewer would: who may do what to which thing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk.assertions import Template

from infra.common.artifacts import Artifacts

NAMES = ("api", "batch_worker", "router", "session_combiner", "transcript_processor")


def built(folder: Path) -> Artifacts:
    """Make stand-ins of what `make build` makes."""
    for part in [*(f"functions/{name}" for name in NAMES), "layer/python"]:
        (folder / part).mkdir(parents=True)
        (folder / part / "code.py").write_text(part)
    (folder / "index.html").write_text("<!doctype html>")
    return Artifacts(build=folder, page=folder)


def app(folder: Path, own: Mapping[str, Any] | None = None) -> cdk.App:
    """Return an app with the settings of the real one, and values of one's own."""
    return cdk.App(context={**settings(), **(own or {})}, outdir=str(folder / "cdk.out"))


def settings() -> dict[str, Any]:
    """Return the feature flags of the real app."""
    read = json.loads((Path(__file__).parents[2] / "cdk.json").read_text())
    return cast("dict[str, Any]", read["context"])


def resources(template: Template, kind: str, **properties: Any) -> dict[str, dict[str, Any]]:
    """Return the resources of a kind, by logical id, that have these properties."""
    found = cast("dict[str, dict[str, Any]]", template.find_resources(kind))
    return {
        name: resource
        for name, resource in found.items()
        if all(resource["Properties"].get(key) == value for key, value in properties.items())
    }


def one(template: Template, kind: str, **properties: Any) -> tuple[str, dict[str, Any]]:
    """Return the only resource of a kind with these properties."""
    ((name, resource),) = resources(template, kind, **properties).items()
    return name, resource


def function(template: Template, name: str) -> tuple[str, dict[str, Any]]:
    """Return a function of ours by the name of its folder."""
    return one(template, "AWS::Lambda::Function", Handler=f"lambdas.{name}.handler.handler")


def alias(template: Template, name: str) -> str:
    """Return the logical id of the alias that events invoke."""
    return one(template, "AWS::Lambda::Alias", FunctionName={"Ref": function(template, name)[0]})[0]


def rights(template: Template, name: str) -> dict[str, set[str]]:
    """Return what a function may do: action to the resources, as text."""
    role = function(template, name)[1]["Properties"]["Role"]["Fn::GetAtt"][0]
    may: dict[str, set[str]] = {}
    for policy in template.find_resources("AWS::IAM::Policy").values():
        if {"Ref": role} not in policy["Properties"]["Roles"]:
            continue
        for action, resource in _pairs(policy["Properties"]["PolicyDocument"]["Statement"]):
            may.setdefault(action, set()).add(resource)
    assert "ManagedPolicyArns" not in template.find_resources("AWS::IAM::Role")[role]["Properties"]
    return may


def _pairs(statements: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for statement in statements:
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, json.dumps(resource)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def refuses_plain_http(template: Template, kind: str) -> set[str]:
    """Return the things whose policies (of that kind) refuse every request without TLS."""
    guarded = set()
    for policy in template.find_resources(kind).values():
        properties = policy["Properties"]
        for statement in properties["PolicyDocument"]["Statement"]:
            if (
                statement["Effect"] == "Deny"
                and statement["Principal"] == {"AWS": "*"}
                and statement["Action"] in {"s3:*", "sqs:*"}
                and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            ):
                things = properties.get("Queues") or [properties["Bucket"]]
                guarded |= {thing["Ref"] for thing in things}
    return guarded
