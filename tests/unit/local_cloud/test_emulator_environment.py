"""What a child process of the emulator's users is told about AWS."""

from __future__ import annotations

import os

import pytest

from local_cloud.aws import environment

pytestmark = pytest.mark.unit


def test_the_environment_of_a_child_keeps_nothing_that_leads_to_a_real_account() -> None:
    shell = {
        "AWS_ENDPOINT_URL_SQS": "https://sqs.eu-central-1.amazonaws.com",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "intranet",
        "PATH": "/usr/bin",
    }

    child = environment("http://127.0.0.1:4000", shell)

    assert child["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4000"
    assert child["AWS_CONFIG_FILE"] == child["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert child["PATH"] == "/usr/bin"
    assert child["HTTPS_PROXY"] == "http://proxy:3128"
    assert child["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert not {"AWS_ENDPOINT_URL_SQS", "AWS_PROFILE", "AWS_SESSION_TOKEN"} & child.keys()
