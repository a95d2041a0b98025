"""The context's values of your own: to which environment they belong, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.artifacts import ROOT
from infra.environments import Environment
from infra.own_values import WrongContext, with_own_values
from tests.support.environments import environment

pytestmark = pytest.mark.unit

DEMO, PROD = environment(name="demo"), environment(name="prod")
SETTINGS: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]


def applied(context: dict[str, Any]) -> list[Environment]:
    return with_own_values([DEMO, PROD], context)


def refusal(context: dict[str, Any]) -> list[str]:
    with pytest.raises(WrongContext) as refused:
        applied(context)
    return str(refused.value).splitlines()


def test_each_environment_gets_the_values_under_its_name() -> None:
    demo, prod = applied({"demo": {"region": "us-west-2"}, **SETTINGS})

    assert demo.region == "us-west-2"
    assert prod == PROD


def test_only_the_chosen_environment_is_described_and_checked() -> None:
    found = applied({"environment": "demo", "prod": {"region": "mars-1"}})

    assert found == [DEMO]


@pytest.mark.parametrize(
    "key",
    [
        "availability-zones:account=123456789012:region=us-east-1",
        "vpc-provider:account=1:filter.vpc-id=vpc-1:region=us-east-1",
        "acknowledged-issue-numbers",
        "cli-telemetry",
        "@aws-cdk/core:newStyleStackSynthesis",
        "aws-cdk:enableDiffNoFail",
        "aws:cdk:enable-path-metadata",
    ],
)
def test_what_the_cdk_notes_there_is_not_taken_for_an_environment(key: str) -> None:
    assert applied({key: {"any": "thing"}}) == [DEMO, PROD]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("dmeo", "did you mean demo?"),
        ("Prod", "did you mean prod?"),
        ("enviroment", "did you mean environment?"),
        ("staging", "known are demo, prod, environment"),
    ],
)
@pytest.mark.parametrize("chosen", [{}, {"environment": "demo"}])
def test_a_key_that_is_no_environment_is_refused_with_a_hint(
    key: str, hint: str, chosen: dict[str, str]
) -> None:
    assert refusal({key: {}, **chosen}) == [
        f"{key!r} in the context (cdk.context.json) is no environment: {hint}"
    ]


def test_the_problems_of_all_environments_are_reported_at_once() -> None:
    found = refusal({"demo": {"region": "mars-1"}, "prod": {"region": 5}, "pord": {}})

    assert found == [
        "'pord' in the context (cdk.context.json) is no environment: did you mean prod?",
        "demo cannot be provisioned:",
        "  region: 'mars-1' is not a region of AWS",
        "prod cannot be provisioned:",
        "  region: give a text",
    ]
