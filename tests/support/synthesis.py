"""What AWS's own tools find wrong with an environment: the CDK, cdk-nag and cfn-lint."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import aws_cdk as cdk
from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.rules import Match
from cfnlint.runner import Runner

from infra.common import nag
from infra.config.environment import Environment
from infra.stacks import provision
from tests.support.templates import built, settings

#: W3005: the CDK names dependencies that CloudFormation would find by itself.
IGNORED = ["W3005"]


def faults(environment: Environment) -> list[str]:
    """Return what they find.

    A circle within a stack is cfn-lint's E3004; the CDK finds circles between stacks.
    """
    with tempfile.TemporaryDirectory(prefix="cloudscribe-any-") as folder:
        out = Path(folder, "cdk.out")
        context = {**settings(), "aws:cdk:disable-asset-staging": True}
        app = cdk.App(context=context, outdir=str(out), builtin_cloud_formation_validation=False)
        nag.check(app)
        try:
            provision(app, environment, built(Path(folder, "built")))
            app.synth()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            return [f"{type(error).__name__}: {error}", *_findings(out)]
        return lint(out, environment.region)


def lint(assembly: Path, region: str) -> list[str]:
    """Return what cfn-lint finds wrong with the templates of an assembly in a region."""
    return [
        f"{path.name}, line {match.linenumber}: {match.rule.id} {match.message}"
        for path in sorted(assembly.glob("*.template.json"))
        for match in _matches(path.read_text(), region)
    ]


def _matches(text: str, region: str) -> Iterator[Match]:
    template, _ = decode_str(text)
    yield from _linter(region).validate_template(template)


@cache
def _linter(region: str) -> Runner:
    """Loading the rules takes longer than a template."""
    return Runner(ConfigMixIn(regions=[region], ignore_checks=IGNORED))


def _findings(out: Path) -> Iterator[str]:
    """Yield what cdk-nag found."""
    report = out / "validation-report.json"
    if report.exists():
        yield report.read_text()
