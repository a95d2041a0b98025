"""Environments that their type allows can be synthesised: the CDK, cdk-nag and cfn-lint agree.

One of each choice; `python -m tests.fuzz.environments` tries more.
"""

from __future__ import annotations

import pytest

from tests.fuzz.environments import CHOICES, draw, faults

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("choice", CHOICES)
def test_what_the_type_allows_can_be_synthesised(choice: str) -> None:
    """An environment that several choices lead to is synthesised once."""
    (environment,) = draw(choice, number=0)

    assert faults(environment.model_dump_json()) == []
