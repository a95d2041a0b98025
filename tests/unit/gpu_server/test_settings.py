"""What is set, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from foundation.settings import describe_settings
from gpu_server.settings import Settings, from_environment

pytestmark = pytest.mark.unit

SECRET = "a secret of enough letters"  # noqa: S105 - a test's


def refusal(**settings: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings(**settings)  # type: ignore[arg-type]  # as from the environment
    return str(caught.value)


def test_by_default_it_listens_to_this_machine_and_needs_nothing() -> None:
    settings = Settings()

    assert settings.is_loopback
    assert settings.secret is None
    assert settings.spec.kind == "auto"


def test_beyond_this_machine_there_has_to_be_a_secret() -> None:
    assert "AUTH_TOKEN" in refusal(host="0.0.0.0")
    assert Settings(host="0.0.0.0", auth_token=SECRET).secret == SECRET


def test_a_secret_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")

    assert Settings(host="0.0.0.0", auth_token_file=tmp_path / "token").secret == SECRET
    assert "cannot be read" in refusal(host="0.0.0.0", auth_token_file=tmp_path / "absent")


def test_a_short_secret_is_refused_and_not_quoted() -> None:
    text = refusal(auth_token="hunter2")  # noqa: S106 - a test's

    assert "16 characters" in text
    assert "hunter2" not in text


def test_a_queue_needs_the_bucket_of_its_jobs() -> None:
    assert "RECORDINGS_BUCKET" in refusal(queue_url="http://127.0.0.1/q")


def test_buckets_are_separated_by_commas() -> None:
    assert Settings(recordings_bucket="one-bucket, other-bucket").recordings_bucket == (
        "one-bucket",
        "other-bucket",
    )
    assert "recordings_bucket" in refusal(recordings_bucket="Not A Bucket")


def test_secrets_leave_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_TOKEN", SECRET)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")

    settings = from_environment()

    assert settings.secret == SECRET
    assert settings.spec.token == "hf_of_somebody"  # noqa: S105 - a test's
    assert "hf_of_somebody" not in repr(settings.spec)
    with pytest.raises(KeyError):
        import os  # noqa: PLC0415 - what is left of it

        os.environ["AUTH_TOKEN"]


def test_every_setting_is_described() -> None:
    text = describe_settings(Settings)

    assert all(name.upper() in text for name in Settings.model_fields)
