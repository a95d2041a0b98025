"""Any environments that their type allows, synthesised: `python -m tests.fuzz.environments`.

Each choice between parts is made in a share of them. What is found is repeated by the number and
the choice: `--first 4711 --count 1 --choice gpu=`.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache

from hypothesis import HealthCheck, Phase, given, seed, settings

from infra.config.environment import Environment
from tests.support.any_environment import choices, environments
from tests.support.synthesis import faults as faults_of

#: Every choice between parts, such as `live.load_balancer=shared`; a part alone has no kind.
CHOICES = [f"{path}={kind}" for path, kind in choices()]


def draw(choice: str, number: int, count: int = 1) -> list[Environment]:
    """Return the first `count` environments of a number, with one choice made."""
    path, _, kind = choice.partition("=")
    drawn: list[Environment] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],  # making a fault smaller would take minutes
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(environments({path: kind}))
    def keep(environment: Environment) -> None:
        drawn.append(environment)

    keep()
    return drawn


@cache
def faults(written: str) -> list[str]:
    """Return what is wrong with an environment in JSON."""
    return faults_of(Environment.model_validate_json(written))


def main() -> int:
    """Synthesise environments and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="number of the first ones")
    parser.add_argument("--count", type=int, default=10, help="how many, two each")
    parser.add_argument("--choice", choices=CHOICES, help="only with this choice")
    wanted = parser.parse_args()
    wrong = 0
    chosen = [wanted.choice] if wanted.choice else CHOICES
    for choice in chosen:
        for number in range(wanted.first, wanted.first + wanted.count):
            for environment in draw(choice, number, count=2):
                written = environment.model_dump_json()
                for fault in faults(written):
                    wrong += 1
                    sys.stdout.write(f"{choice} {number}: {fault}\n    {written}\n")
    sys.stdout.write(
        f"environments: {2 * wanted.count} for each of {len(chosen)} choices, {wrong} faults\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
