"""Every setting is checked before anything starts, and all problems are reported at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

import ecs_service.settings
import gpu_server.settings
from local_cloud.errors import InvalidSettings, LaunchError
from local_cloud.launcher.account import AwsAccount
from local_cloud.launcher.plan import DemoPlan
from local_cloud.launcher.validation import parse, validate, warn_of_unknown
from speech.engines.embedded import choose_embedded
from speech.engines.registry import ENGINES

pytestmark = pytest.mark.unit

#: What the demo decides about the service, whatever the environment sets.
THE_DEMOS = frozenset(
    {
        "ACCESS_TABLE",
        "EDGE_SECRET",
        "HOST",
        "OUTBOX_PATH",
        "PORT",
        "QUEUE_URL",
        "STREAMS_TABLE",
        "TABLE_NAME",
        "VIEWER_ADDRESS_HEADER",
    }
)
#: What can be any text.
ANY_TEXT = frozenset(
    {
        "ALIGNMENT_MODEL",
        "ALLOWED_ORIGINS",
        "HF_TOKEN",
        "TRANSCRIBE_REGION",
        "TRANSLATE_REGION",
        "TRANSLATE_TERMINOLOGY",
    }
)


def examined(environment: Mapping[str, str], account: AwsAccount | None = None) -> DemoPlan:
    return validate(environment, lambda _: account or AwsAccount())


def refusal(environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(InvalidSettings) as refused:
        examined(environment)
    return str(refused.value).splitlines()


def test_the_defaults_are_right_and_what_is_empty_is_not_set() -> None:
    names = {
        *ecs_service.settings.Settings.model_fields,
        *gpu_server.settings.Settings.model_fields,
    }
    assert examined({}).engine == choose_embedded()
    assert examined({name.upper(): "" for name in names}).engine == choose_embedded()


@pytest.mark.parametrize(
    "environment",
    [
        {"ENGINE": "transcribe"},
        {"ENGINE": "transcribe", "TRANSCRIBE_ENDPOINT": "local", "TRANSLATOR": "none"},
        {"ENGINE": "scripted", "SCRIPTED": '{"delay": 0.1}', "SLOTS": "4"},
        {"COMPUTE_TYPE": "int8_float16", "DEVICE": "cpu"},
        {"TRANSLATE_LANGUAGES": "fr, de", "LOG_LEVEL": "debug", "DRAIN_SECONDS": "3"},
    ],
)
def test_what_is_right_passes(environment: dict[str, str]) -> None:
    assert examined(environment).engine == environment.get("ENGINE", choose_embedded())


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({"PROT": "8500"}, "is PORT meant?"),
        (
            {"TRANSCRIBE_ALLOW": "{}"},
            "no setting TRANSCRIBE_ALLOW, so it does nothing; is TRANSCRI",
        ),
        ({"TRANSLATE_LANGUAGE": "fr"}, "is TRANSLATE_LANGUAGES meant?"),
        ({"TRANSLATE_" + 30 * "Z": "1"}, "it does nothing."),
        ({"TRANSCRIBE_TRANSPORT": "http2"}, "TRANSCRIBE_TRANSPORT does nothing any more"),
        ({"SLOT": "4"}, "is SLOTS meant?"),
        (
            {"ENGINE": "transcribe", "TRANSCRIBE_REGION": "eu-west-1"},
            "TRANSCRIBE_REGION: no effect with a local Amazon Transcribe.",
        ),
        (
            {"ENGINE": "pocketsphinx", "TRANSCRIBE_REGION": "eu-west-1", "SCRIPTED": "{}"},
            "SCRIPTED and TRANSCRIBE_REGION: no effect with the engine pocketsphinx.",
        ),
        (
            {"ENGINE": "pocketsphinx", "MOONSHINE_MODEL": "/x", "TRANSCRIBE_ALLOWED": "["},
            "MOONSHINE_MODEL and TRANSCRIBE_ALLOWED: no effect with the engine pocketsphinx.",
        ),
        ({"TRANSLATE_REGION": "x"}, "TRANSLATE_REGION: no effect with the translator pseudo."),
        (
            {"TRANSLATOR": "none", "TRANSLATE_LANGUAGES": "fr"},
            "TRANSLATE_LANGUAGES: no effect with the translator none.",
        ),
        ({"BATCH_SIZE": "4"}, "Recordings: transcribed by embedded, on which BATCH_SIZE has no"),
        ({"MODEL": "tiny.en"}, "the model tiny.en is fetched from the Hugging Face hub"),
        ({"MODEL": "tiny.en", "LOCAL_DIR": "/x"}, "/x/logs/transcriber.log has why"),
    ],
)
def test_useless_and_slow_settings_are_noted_at_the_start(
    environment: dict[str, str], warning: str
) -> None:
    *_, note = examined(environment).notes

    assert warning in note


def test_a_setting_that_has_an_effect_brings_no_note() -> None:
    account = AwsAccount("the environment", "eu-central-1")
    region = {"TRANSCRIBE_REGION": "eu-west-1"}

    for environment in ({"ENGINE": "transcribe"}, {"TRANSLATOR": "amazon"}):
        assert "no effect" not in "".join(examined(environment | region, account).notes)


def test_other_peoples_variables_bring_no_warning() -> None:
    others = ("HOME", "HOSTNAME", "LANGUAGE", "LC_ALL", "MAKEFLAGS", "PATH", "SHELL", "AWS_PROFILE")
    ours = ("CLOUDSCRIBE_URL", "LOCAL_DIR", "TRANSCRIBE_REGION", "HF_TOKEN")
    assert not list(warn_of_unknown(dict.fromkeys((*others, *ours), "x")))


def test_with_an_account_of_ones_own_the_region_counts() -> None:
    account = AwsAccount("the environment", "eu-central-1")
    assert examined({"ENGINE": "transcribe"}, account).own_account


def everything() -> list[str]:
    """Return every variable that users may set, but for those that can be any text."""
    service = {name.upper() for name in ecs_service.settings.Settings.model_fields}
    return sorted((service - THE_DEMOS | gpu_server.settings.USER_CHOICES) - ANY_TEXT)


@pytest.mark.parametrize("name", everything())
def test_nonsense_is_refused_by_the_variables_name_whichever_it_is(name: str) -> None:
    environment = {name: "/no such\tthing"}
    for engine, kind in ENGINES.items():
        if name.lower() in kind.settings.model_fields:
            environment["ENGINE"] = engine

    [line, *more] = refusal(environment)

    assert more == []
    assert line.startswith(name) or "the endpoint of Transcribe" in line
    assert "pattern" not in line, "which is no language of people"


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({"SLOTS": "abc"}, ["SLOTS=abc: it should be a valid integer"]),
        ({"SLOTS": "0"}, ["SLOTS=0: it should be greater than or equal to 1"]),
        ({"UPDATES_SECONDS": "-1"}, ["UPDATES_SECONDS=-1: it should be greater"]),
        ({"DRAIN_SECONDS": "inf"}, ["DRAIN_SECONDS=inf: it should be a finite number"]),
        ({"COMPUTE_TYPE": "float8"}, ["COMPUTE_TYPE=float8: must be `auto`, `default`, or a type"]),
        ({"TRANSLATE_LANGUAGES": "fr,xx"}, ["TRANSLATE_LANGUAGES=fr,xx: xx is no language"]),
        (
            {"ENGINE": "transcribe", "TRANSCRIBE_OPTIONS": '{"speakers":"2"}'},
            ["TRANSCRIBE_OPTIONS={"],
        ),
        ({"TRANSCRIBER_LANGUAGE": "fr"}, ["Recordings cannot be transcribed"]),
        (
            {"TRANSCRIBER": "whisperx"},
            ["Recordings cannot be transcribed: TRANSCRIBER is whisperx, which is not installed"],
        ),
        ({"TRANSLATOR": "amazon"}, ["TRANSLATOR=amazon needs AWS credentials"]),
        (
            {
                "ENGINE": "transcribe",
                "SLOTS": "x",
                "TRANSCRIBE_OPTIONS": "{",
                "TRANSCRIBE_ALLOWED": "[",
                "BATCH_SIZE": "0",
            },
            [
                "TRANSCRIBE_OPTIONS={: this is not JSON",
                "TRANSCRIBE_ALLOWED=[: this",
                "SLOTS=x:",
                "BATCH_SI",
            ],
        ),
        (
            {"PORT": "x", "ENGINE": "whisper", "SLOTS": "x", "TRANSLATOR": "amazon"},
            ["PORT=x", "ENGINE=whisper: the engines are", "TRANSLATOR=amazon needs", "SLOTS=x"],
        ),
    ],
)
def test_invalid_settings_are_explained(environment: dict[str, str], lines: list[str]) -> None:
    printed = refusal(environment)

    assert [line[: len(start)] for line, start in zip(printed, lines, strict=True)] == lines


def test_problems_of_several_variables_are_explained() -> None:
    settings, problems = parse(ecs_service.settings.Settings, {"QUEUE_URL": "http://queue"})

    assert settings is None
    assert list(problems.values()) == [
        "QUEUE_URL and TABLE_NAME belong together: give both or neither."
    ]


def test_secrets_and_what_would_spoil_a_terminal_are_not_repeated() -> None:
    text = "\n".join(
        refusal(
            {
                "ENGINE": "scripted",
                "SLOTS": "\x1b[31mred",
                "SCRIPTED": "{" * 1_000,
                "LOG_LEVEL": "line\nline",
            }
        )
    )
    assert "\x1b" not in text
    assert "{{" not in text
    assert "line\nline" not in text


def test_looking_leaves_the_environment_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(LaunchError):
        examined({"SLOTS": "x", "LOCAL_DIR": str(tmp_path)})
    assert dict(os.environ) == before
