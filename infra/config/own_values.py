"""Values of your own, from the CDK's context, for the environments that app.py describes.

The context is `cdk.json`, `cdk.context.json` and `--context` together, and the CDK's command line
keeps keys of its own there. Whatever else stands at its top has to be an environment: a name with
a typing mistake would otherwise deploy an environment without its values.

ValueError
└── WrongContext    its message has all that is wrong, of every environment or in the file
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from foundation.json_files import WrongFile, read_object
from infra.config.environment import Environment, WrongEnvironment
from infra.config.mistakes import suggestion

#: Where the CDK's command line looks for them, beside app.py.
FILE: Final = "cdk.context.json"
#: Chooses one environment: `--context environment=demo`.
CHOICE: Final = "environment"
#: What the CDK's command line notes under plain names; all its other keys, and those of feature
#: flags, have a colon or begin with an @. Source: aws-cdk 2.1148.1, `configuration.context.set`.
OF_THE_CDK: Final = frozenset({"acknowledged-issue-numbers", "cli-telemetry"})


class WrongContext(ValueError):
    """The context does not fit the environments; the message has all the reasons."""


def read(file: Path) -> dict[str, Any]:
    """Return what `cdk.context.json` holds; nothing where there is no such file.

    Raises:
        WrongContext: it is no JSON object, or an object in it has a name twice, of which JSON
            would keep the last value only.
    """
    try:
        return read_object(file)
    except WrongFile as error:
        raise WrongContext(str(error)) from error


def with_own_values(
    environments: Iterable[Environment], context: Mapping[str, Any]
) -> list[Environment]:
    """Return the chosen environments, or all, with the values of your own.

    Raises:
        WrongContext: a key is no environment, none is of the chosen name, or what comes out
            cannot be provisioned.
    """
    described = {each.name: each for each in environments}
    chosen = context.get(CHOICE)
    wrong = list(_unknown(context, described))
    if chosen is not None and chosen not in described:
        hint = suggestion(str(chosen), described)
        wrong.append(f"app.py describes no environment {chosen!r}: {hint}")
    result = []
    for name, environment in described.items():
        if chosen in {None, name}:
            try:
                result.append(environment.overridden(context.get(name)))
            except WrongEnvironment as error:
                wrong.append(str(error))
    if wrong:
        raise WrongContext("\n".join(wrong))
    return result


def _unknown(context: Mapping[str, Any], described: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with the names of the context's keys."""
    known = [*described, CHOICE]
    for key in context:
        if key not in {*known, *OF_THE_CDK} and ":" not in key and not key.startswith("@"):
            yield f"{key!r} in the context (cdk.context.json) is no environment: " + suggestion(
                key, known
            )
