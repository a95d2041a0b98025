"""Browsers and what they visit."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from local_cloud.edge.server import application
from speech.engines.embedded import choose_embedded
from tests.support.fake_service import DIST, FakeService, fake_service
from tests.support.service import running_service


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    """Skip where something is missing that a test cannot bring along."""
    if not (DIST / "index.html").is_file():
        pytest.skip("the page is not built: make browser")
    page = ["make", "--question", "--silent", "frontend/dist/index.html"]
    if subprocess.run(page, cwd=DIST.parents[1], check=False).returncode:
        pytest.fail("the page has changed since it was built: make browser", pytrace=False)
    needed = {"chromium": "chromium", "flite": "flite"}
    missing = [package for program, package in needed.items() if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: sudo apt-get install {' '.join(missing)}")


@pytest.fixture
async def fake_site() -> AsyncIterator[FakeService]:
    """Give a service whose faults the test chooses."""
    async with fake_service() as service:
        yield service


@pytest.fixture
async def translated_site() -> AsyncIterator[str]:
    """Give the address of the page with the real service, a script and a stand-in translator."""
    settings = {"translator": "pseudo", "translate_languages": "fr,ar,de"}
    async with running_service(**settings) as service, _edge(service.url) as url:
        yield url


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """Give the address of the page with the real service and the embedded engine behind it."""
    async with running_service(engine=choose_embedded()) as service, _edge(service.url) as url:
        yield url


@contextlib.asynccontextmanager
async def _edge(service: str) -> AsyncIterator[str]:
    runner = web.AppRunner(application(dist=DIST, service=service), shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
