"""The context's values of your own: to which environment they belong, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from infra.common.artifacts import ROOT
from infra.config.environment import Environment
from infra.config.own_values import FILE, WrongContext, read, with_own_values
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


# --- the file ---------------------------------------------------------------------------------


def unreadable(folder: Path, text: bytes) -> str:
    (folder / FILE).write_bytes(text)
    with pytest.raises(WrongContext) as refused:
        read(folder / FILE)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (b"{", "line 1", "ends too early"),
        (b'{"demo": {"region":', "line 1", "ends too early"),
        (b'{\n  "demo": {},\n}\n', "line 3", "no comma"),
        (b'{\n  "demo": {"a": [1, 2, ]}}', "line 2", "no comma"),
        (b'{\n  "demo" {}}', "line 2", "':'"),
        (b"{\n  // mine\n}", "line 2", "double quotes"),
        (b"{}\n}", "line 2", "Extra data"),
        (b"[]", "line 1", "give an object"),
        (b"null", "line 1", "give an object"),
        (b"", "", "is empty"),
        (b" \n", "", "is empty"),
        (b"\xff\xfe{}", "", "UTF-8"),
        (b'{"demo": NaN}', "", "NaN"),
        (b'{"demo": ' + b"[" * 100_000, "", "too deeply"),
        (b'{"demo": ' + b"1" * 10_000 + b"}", "", "too long"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_the_line_and_what_is_wrong(
    tmp_path: Path, text: bytes, place: str, words: str
) -> None:
    message = unreadable(tmp_path, text)

    assert message.startswith("cdk.context.json")
    assert place in message
    assert words in message


@pytest.mark.parametrize(
    "text",
    [
        b'{"demo": {}, "demo": {"region": "us-west-2"}}',
        b'{"prod": {"live": {"demo": 1, "demo": 1}}}',
        b'{"prod": [{"demo": null, "x": 0, "demo": 2}]}',
    ],
)
def test_a_name_that_stands_twice_is_refused_at_any_depth(tmp_path: Path, text: bytes) -> None:
    assert "'demo' stands twice" in unreadable(tmp_path, text)


def test_no_file_holds_nothing_and_a_right_one_what_is_written(tmp_path: Path) -> None:
    own = {"demo": {"region": "us-west-2"}, "prod": {"region": "us-west-2"}}
    assert read(tmp_path / FILE) == {}

    (tmp_path / FILE).write_text(json.dumps(own), encoding="utf-8-sig")

    assert read(tmp_path / FILE) == own


def test_a_file_that_cannot_be_opened_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()

    with pytest.raises(WrongContext, match=r"cdk\.context\.json cannot be read: Is a directory"):
        read(tmp_path / FILE)


@given(st.binary(max_size=30) | st.text('{}[],:"a1 \n', max_size=30).map(str.encode))
def test_whatever_is_in_the_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    file = tmp_path_factory.mktemp("context") / FILE
    file.write_bytes(text)
    message = ""
    try:
        found = read(file)
    except WrongContext as error:
        message = str(error)
    assert message.startswith(FILE) if message else found == json.loads(text)


def test_app_refuses_what_the_cdk_would_take_the_last_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_text('{"demo": {}, "demo": {}}')
    monkeypatch.setattr(app, "__file__", str(tmp_path / "app.py"))

    assert app.main() == 1

    assert "'demo' stands twice" in capsys.readouterr().err
