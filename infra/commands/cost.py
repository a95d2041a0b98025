"""`make cost ENV=demo`: what an environment costs, by its templates.

It prices an assembly that `cdk synth` wrote, or synthesises one into a temporary folder: it runs
`app.py` as the CDK's command line does. Prints lines, rates and, last, the total.

Exit codes: 0 printed, 1 no true total can be given, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foundation import program
from foundation.json_files import WrongFile, read_object
from infra.costs.errors import CostError, UnknownEnvironment
from infra.costs.report import estimate, render, to_json
from infra.costs.templates import Stack, read

ROOT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what an environment costs; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.commands.cost",
        description="Prices every always-on resource of an environment's templates.",
        epilog="Prices, their date and their region are in infra/costs/prices.py.",
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
        figures = estimate(chosen.environment, _stacks(chosen.environment, chosen.assembly))
    except CostError as error:
        program.note(str(error))
        return 1
    text = json.dumps(to_json(figures), indent=2) if chosen.json else render(figures)
    program.show(text)
    return 0


def _stacks(environment: str, assembly: Path | None) -> list[Stack]:
    """Return the stacks of an environment.

    Raises:
        CostError: there is no assembly, or no such environment in it.
    """
    if assembly is not None:
        stacks = read(assembly)
    else:
        with tempfile.TemporaryDirectory(prefix="cloudscribe-cost-") as folder:
            synthesise(environment, Path(folder))
            stacks = read(Path(folder))
    found = [stack for stack in stacks if stack.environment == environment]
    if not found:
        raise UnknownEnvironment(environment, [each.environment or "" for each in stacks])
    return found


def synthesise(environment: str, folder: Path) -> None:
    """Run app.py for an environment, with `folder` for its assembly.

    Raises:
        CostError: app.py refuses, or a file of the context is no JSON object.
    """
    try:
        context = {
            **read_object(ROOT / "cdk.json")["context"],
            **read_object(ROOT / "cdk.context.json"),
        }
    except WrongFile as error:
        raise CostError(str(error)) from error
    # Assets have no price, so none is copied or bundled.
    context |= {
        "aws:cdk:bundling-stacks": [],
        "aws:cdk:disable-asset-staging": True,
        "environment": environment,
    }
    ran = subprocess.run(  # noqa: S603 - our own app.py
        [sys.executable, str(ROOT / "app.py")],
        cwd=ROOT,
        env={
            **os.environ,
            # The CDK's own interface to an app.
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps(context),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise CostError(ran.stderr.strip() or f"app.py ended with {ran.returncode}")


if __name__ == "__main__":
    program.end(main)
