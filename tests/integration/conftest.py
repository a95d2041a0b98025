"""What integration tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.cloud import Cloud, cloud_of_one_machine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    """One emulator for all tests; each keeps to conversations of its own."""
    async with cloud_of_one_machine(tmp_path_factory.mktemp("cloud")) as started:
        yield started
