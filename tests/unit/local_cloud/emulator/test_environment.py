"""The environment of a child process that uses the emulator."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from local_cloud import ROOT
from local_cloud.emulator.environment import (
    EMULATED,
    emulator_environment,
    isolated_environment,
    shared_environment,
)

pytestmark = pytest.mark.unit

EMULATOR = "http://127.0.0.1:4000"
KEY = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "secret"}
#: One call of each service that the emulator stands in for, as the WebSocket service makes them.
CALLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sqs": ("send_message", {"QueueUrl": "http://localhost:4566/0/q", "MessageBody": "words"}),
    "dynamodb": ("describe_table", {"TableName": "words"}),
}


class Sent(Exception):
    """A request is about to leave for this address, signed with this key for this region."""

    def __init__(self, request: Any) -> None:
        signed = re.search(rb"Credential=(\w+)/\d+/([\w-]+)/", request.headers["Authorization"])
        assert signed
        super().__init__(request.url, signed[1].decode(), signed[2].decode())


def sent(
    service: str, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, str]:
    """Return address, key and region of a call in a process with these variables alone."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def stop(request: Any, **_: object) -> None:
        raise Sent(request)

    operation, arguments = CALLS.get(
        service,
        (
            "translate_text",
            dict.fromkeys(("Text", "SourceLanguageCode", "TargetLanguageCode"), "en"),
        ),
    )
    untyped: Any = boto3.Session()
    client = untyped.client(service)
    client.meta.events.register("before-send", stop)
    with pytest.raises(Sent) as caught:
        getattr(client, operation)(**arguments)
    url, key, region = caught.value.args
    return url, key, region


def test_the_environment_of_a_child_keeps_nothing_that_leads_to_a_real_account() -> None:
    shell = {
        "AWS_ENDPOINT_URL_SQS": "https://sqs.eu-central-1.amazonaws.com",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "intranet",
        "PATH": "/usr/bin",
    }

    child = isolated_environment("http://127.0.0.1:4000", shell)

    assert child["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4000"
    assert child["AWS_CONFIG_FILE"] == child["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert child["PATH"] == "/usr/bin"
    assert child["HTTPS_PROXY"] == "http://proxy:3128"
    assert child["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert not {"AWS_ENDPOINT_URL_SQS", "AWS_PROFILE", "AWS_SESSION_TOKEN"} & child.keys()


HOSTILE_PROFILE = """
[profile work]
aws_access_key_id = AKIAEXAMPLEEXAMPLE00
aws_secret_access_key = secret
region = eu-central-1
endpoint_url = https://elsewhere.example
services = elsewhere
ignore_configured_endpoint_urls = true
use_fips_endpoint = true
use_dualstack_endpoint = true
account_id_endpoint_mode = required
[services elsewhere]
sqs =
  endpoint_url = https://sqs.example
dynamodb =
  endpoint_url = https://dynamodb.example
"""


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize(
    "of_the_user",
    [
        {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"},
        {"AWS_ENDPOINT_URL": "https://elsewhere.example"},
        {
            "AWS_ENDPOINT_URL_SQS": "https://a.example",
            "AWS_ENDPOINT_URL_DYNAMODB": "https://b.example",
        },
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "required", "AWS_ACCOUNT_ID": "123456789012"},
        {"AWS_PROFILE": ""},
        {"AWS_PROFILE": "work"},
    ],
)
def test_beside_an_account_of_ones_own_utterances_stay_in_the_emulator(
    of_the_user: dict[str, str], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    (tmp_path / "config").write_text(HOSTILE_PROFILE)

    child = shared_environment(EMULATOR, KEY | files | of_the_user)

    assert sent(service, child, monkeypatch) == (
        f"{EMULATOR}/",
        KEY["AWS_ACCESS_KEY_ID"],
        "us-east-1",
    )


def test_beside_it_other_services_are_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    ignored = {
        "AWS_ENDPOINT_URL": "https://elsewhere.example",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    }

    child = shared_environment(EMULATOR, KEY | files | ignored)

    url, key, _ = sent("translate", child, monkeypatch)
    assert url.startswith("https://translate.us-east-1.amazonaws.com")
    assert key == KEY["AWS_ACCESS_KEY_ID"]


def test_every_service_that_is_called_is_either_emulated_or_meant_for_the_account() -> None:
    of_the_account = {"translate"}
    called = {
        name
        for room in ("ecs_service", "speech", "translation")
        for file in (ROOT / room).rglob("*.py")
        for name in re.findall(r'\bclient\(\s*"([a-z0-9-]+)"', file.read_text())
    }

    assert {"sqs", "dynamodb"} <= called
    assert called <= {name.lower() for name in EMULATED} | of_the_account


def test_functions_read_nothing_of_the_users_shell() -> None:
    handlers = (ROOT / "lambdas").glob("*/handler.py")
    read = {
        name
        for handler in handlers
        for name in re.findall(r'alias="([A-Z_]+)"', handler.read_text())
    }
    shell = dict.fromkeys(read | {"POWERTOOLS_LOG_LEVEL", "AWS_PROFILE"}, "theirs")

    assert "TABLE_NAME" in read
    assert emulator_environment(shell | {"PATH": "/bin"}) == {"PATH": "/bin"}
