"""What functions need of botocore's data is all there when the rest is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.loaders import Loader

from scripts import botocore_data

pytestmark = pytest.mark.unit

REAL = Path(botocore.__file__).with_name("data")


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("botocore") / "data"
    data.mkdir()
    for path in REAL.iterdir():
        if path.is_file():
            shutil.copy(path, data)
        elif path.name in botocore_data.SERVICES or path.name == "polly":
            shutil.copytree(path, data / path.name)
    botocore_data.slim(data)
    return data


def client(data: Path, service: str, region: str) -> Any:
    session = botocore.session.get_session()
    loader = Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
    session.register_component("data_loader", loader)
    session.set_credentials("test", "test")
    return session.create_client(service, region_name=region)


@pytest.mark.parametrize("service", sorted(botocore_data.SERVICES))
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1"])
def test_clients_are_what_they_were(slim: Path, service: str, region: str) -> None:
    before, after = client(REAL, service, region), client(slim, service, region)

    assert after.meta.endpoint_url == before.meta.endpoint_url
    assert after.meta.service_model.operation_names == before.meta.service_model.operation_names
    assert after.meta.partition == before.meta.partition


def test_what_is_about_other_services_is_gone(slim: Path) -> None:
    assert {path.name for path in slim.iterdir() if path.is_dir()} == botocore_data.SERVICES
    assert "polly" not in (slim / "endpoints.json").read_text()
    assert sum(path.stat().st_size for path in slim.rglob("*") if path.is_file()) < 1_500_000


def test_a_field_that_is_called_documentation_is_none() -> None:
    described = {"members": {"documentation": {"shape": "Text", "documentation": "About it."}}}

    assert botocore_data._undocumented(described) == {
        "members": {"documentation": {"shape": "Text"}}
    }
