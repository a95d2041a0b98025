"""Errors of an estimate.

Exception
└── CostError
    ├── NotAnAssembly      a folder does not hold what `cdk synth` writes
    ├── UnknownEnvironment no stack belongs to the environment
    └── UnpricedResource   no price is known for a resource, which the message names
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class CostError(Exception):
    """An estimate could not be made."""


class NotAnAssembly(CostError):
    """A folder does not hold what `cdk synth` writes."""


class UnknownEnvironment(CostError):
    """No stack belongs to the environment."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(set(known))) or "none at all"
        super().__init__(f"There is no environment {name!r}. Known: {names}.")


class UnpricedResource(CostError):
    """A resource has no known price, so no total would be true.

    Attributes:
        problems: a text for each such resource, with its type, logical id and stack.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(
            "No price is known for these, so no total would be true. They can be deployed all the "
            f"same. To have a total, add prices to infra/costs/prices.py or infra/costs/:{lines}"
        )
        self.problems = tuple(problems)
