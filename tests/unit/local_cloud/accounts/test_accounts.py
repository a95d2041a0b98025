"""Passwords, archives and variables of the demo's accounts."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from local_cloud.accounts.api import archive, set_up_function
from local_cloud.accounts.people import make_password
from local_cloud.accounts.pool import PASSWORD_LENGTH, UserPool
from local_cloud.accounts.setup import function_environment
from local_cloud.errors import LaunchError
from local_cloud.launcher.parts.service import service_environment

pytestmark = pytest.mark.unit


def test_passwords_are_long_different_and_easy_to_type() -> None:
    made = {make_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) >= PASSWORD_LENGTH and not {*one} & {*"01loiOI "} for one in made)


def test_the_same_sources_are_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "lambdas").mkdir()
    (tmp_path / "lambdas" / "handler.py").write_text("1")
    before = archive(tmp_path)
    os.utime(tmp_path / "lambdas" / "handler.py", (0, 0))
    (tmp_path / "lambdas" / "__pycache__").mkdir()
    (tmp_path / "lambdas" / "__pycache__" / "x.pyc").write_text("1")
    assert archive(tmp_path) == before
    assert zipfile.ZipFile(io.BytesIO(before)).namelist() == ["lambdas/handler.py"]
    (tmp_path / "lambdas" / "handler.py").write_text("2")
    assert archive(tmp_path) != before


def test_a_function_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="function api is not built"):
        set_up_function(None, tmp_path / "none", "api", {})


def test_the_function_takes_keys_from_here_and_issuer_from_aws() -> None:
    pool = UserPool("us-east-1_a", "page", "program")
    found = function_environment("http://127.0.0.1:4000", pool, "table", "secret", "recordings")
    assert found["ISSUER"] == "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_a"
    assert found["JWKS_URL"] == "http://127.0.0.1:4000/us-east-1_a/.well-known/jwks.json"
    assert found["AUDIENCES"] == "page,program"


@pytest.mark.parametrize(("table", "value"), [(None, ""), ("rights", "rights")])
def test_a_table_of_rights_in_the_shell_is_not_the_services(table: str | None, value: str) -> None:
    found = service_environment({"ACCESS_TABLE": "elsewhere"}, 1, table)
    assert found["ACCESS_TABLE"] == value
