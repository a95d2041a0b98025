"""Values of your own account, from the CDK's context, for the environments of app.py.

The context merges `cdk.json`, `cdk.context.json` and `--context`, and the CDK's command line keeps
keys of its own there. Every other key at the top has to be an environment. Otherwise a misspelt
name would deploy an environment without its values.

ValueError
└── WrongContext    the context is invalid; its message has all problems of all environments
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from foundation.json_files import WrongFile, read_object
from infra.config.environment import Environment, WrongEnvironment
from infra.wording import suggest

#: The file that the CDK's command line reads, beside app.py.
FILE: Final = "cdk.context.json"
#: Chooses one environment: `--context environment=demo`.
CHOICE: Final = "environment"
#: Plain keys of the CDK's command line. Its other keys, and feature flags, have a colon or begin
#: with an @. Source: aws-cdk 2.1148.1, `configuration.context.set`.
OF_THE_CDK: Final = frozenset({"acknowledged-issue-numbers", "cli-telemetry"})


class WrongContext(ValueError):
    """The context does not fit the environments; the message has all reasons."""


def read(file: Path) -> dict[str, Any]:
    """Return the content of `cdk.context.json`; an empty object if there is no such file.

    Raises:
        WrongContext: it is no JSON object, or an object in it has a name twice. JSON would keep the
            last value only.
    """
    try:
        return read_object(file)
    except WrongFile as error:
        raise WrongContext(str(error)) from error


def with_own_values(
    environments: Iterable[Environment], context: Mapping[str, Any]
) -> list[Environment]:
    """Return the chosen environment, or all, merged with the values of your own.

    Raises:
        WrongContext: a key is no environment, no environment has the chosen name, or an environment
            is invalid with the values.
    """
    described = {each.name: each for each in environments}
    chosen = context.get(CHOICE)
    wrong = list(_unknown(context, described))
    if chosen is not None and chosen not in described:
        hint = suggest(str(chosen), described)
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
    """Yield the context's keys that are neither environments nor the CDK's."""
    known = [*described, CHOICE]
    for key in context:
        if key not in {*known, *OF_THE_CDK} and ":" not in key and not key.startswith("@"):
            yield f"{key!r} in the context (cdk.context.json) is no environment: " + suggest(
                key, known
            )
