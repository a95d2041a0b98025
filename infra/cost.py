"""`python -m infra.cost ENVIRONMENT`: what an environment costs, by its templates.

The environment is synthesised into a temporary folder, or read from one that `cdk synth` wrote.
Prints lines, rates and, last, the total.

Exit codes: 0 printed, 1 no true total can be given, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.costs import CostError, UnknownEnvironment
from infra.costs.report import as_json, estimate, render
from infra.costs.templates import Stack, read
from scripts import program

ROOT: Final = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what an environment costs; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.cost",
        description="Prices every always-on resource of an environment's templates.",
        epilog="Prices, their date and their region are in infra/prices.py.",
    )
    parser.add_argument("environment", help="one of app.py's environments, e.g. demo")
    parser.add_argument(
        "--assembly",
        type=Path,
        metavar="DIR",
        help="read what `cdk synth` wrote there, instead of synthesising",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    chosen = parser.parse_args(arguments)
    try:
        stacks = _stacks(chosen.environment, chosen.assembly)
        figures = estimate(chosen.environment, stacks)
    except (CostError, FileNotFoundError) as error:
        program.note(str(error))
        return 1
    text = json.dumps(as_json(figures), indent=2) if chosen.json else render(figures)
    program.show(text)
    return 0


def _stacks(environment: str, assembly: Path | None) -> list[Stack]:
    if assembly is not None:
        return _of(environment, read(assembly))
    with tempfile.TemporaryDirectory(prefix="cloudscribe-cost-") as folder:
        return _of(environment, synthesise(environment, Path(folder)))


def _of(environment: str, stacks: Sequence[Stack]) -> list[Stack]:
    """Return the stacks of an environment.

    Raises:
        UnknownEnvironment: there is none.
    """
    found = [stack for stack in stacks if stack.environment == environment]
    if not found:
        raise UnknownEnvironment(environment, [each.environment or "" for each in stacks])
    return found


def synthesise(environment: str, folder: Path) -> list[Stack]:
    """Return the stacks of app.py for an environment, written to `folder`.

    Raises:
        CostError: app.py describes no such environment, it cannot be provisioned, or
            cdk.context.json is no JSON.
        MissingArtifact: something was not built.
    """
    import aws_cdk as cdk  # noqa: PLC0415 - takes seconds, and pricing a folder needs none of it
    from pydantic import ValidationError  # noqa: PLC0415 - the same

    import app as description  # noqa: PLC0415 - the same
    from infra import own_values  # noqa: PLC0415 - the same
    from infra.environments import explain  # noqa: PLC0415 - the same

    try:
        whole = cdk.App(
            outdir=str(folder),
            # As the CDK's command line gives it, but without copying of assets.
            context={
                **json.loads((ROOT / "cdk.json").read_bytes())["context"],
                **own_values.read(ROOT / own_values.FILE),
                "aws:cdk:bundling-stacks": [],
                "aws:cdk:disable-asset-staging": True,
                "environment": environment,
            },
            builtin_cloud_formation_validation=False,  # see app.py
        )
        description.build(whole)
    except ValidationError as error:
        raise CostError(explain(error)) from error
    except own_values.WrongContext as error:
        raise CostError(str(error)) from error
    whole.synth()
    return read(folder)


if __name__ == "__main__":
    program.end(main)
