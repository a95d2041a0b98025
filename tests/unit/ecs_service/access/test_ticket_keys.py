"""Unknown key ids wait for one reading in five seconds, whoever invents them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from access.secret import make_id
from ecs_service.access import ticket_keys
from ecs_service.access.table import NoAnswer
from ecs_service.access.ticket_keys import REST_SECONDS, TicketKeys
from tests.support.access import signing_key
from tests.support.virtual_time import run_in_virtual_time

pytestmark = pytest.mark.unit

REAL = signing_key()


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_keys, "monotonic", lambda: asyncio.get_running_loop().time())


class Listing:
    def __init__(self) -> None:
        self.keys: dict[str, Ed25519PublicKey] = {}
        self.began: list[float] = []
        self.fails = False

    async def __call__(self) -> Mapping[str, Ed25519PublicKey]:
        self.began.append(asyncio.get_running_loop().time())
        found = dict(self.keys)
        await asyncio.sleep(0.1)
        if self.fails:
            raise NoAnswer
        return found


def test_a_key_that_is_published_later_is_found_in_spite_of_inventors() -> None:
    async def main() -> None:
        listing = Listing()
        keys = TicketKeys(listing)
        await keys.refresh()

        waiting: list[asyncio.Future[Ed25519PublicKey | None]] = []

        async def invent() -> None:
            while True:
                waiting.append(asyncio.ensure_future(keys.wait_for(make_id())))
                await asyncio.sleep(0.01)

        inventing = asyncio.create_task(invent())
        await asyncio.sleep(1.0)
        listing.keys[REAL.id] = REAL.key.public_key()
        asked_at = asyncio.get_running_loop().time()
        assert await keys.wait_for(REAL.id) is not None
        waited = asyncio.get_running_loop().time() - asked_at
        await asyncio.sleep(60.0)
        inventing.cancel()

        assert waited <= REST_SECONDS + 0.2
        apart = [after - before for before, after in pairwise(listing.began)]
        assert min(apart) >= REST_SECONDS - 1e-6
        assert keys.find(REAL.id) is not None

    run_in_virtual_time(main())


def test_a_key_published_while_a_reading_is_on_its_way_is_found_by_the_next() -> None:
    async def main() -> None:
        listing = Listing()
        keys = TicketKeys(listing)
        first = asyncio.ensure_future(keys.refresh())
        await asyncio.sleep(0.05)
        listing.keys[REAL.id] = REAL.key.public_key()

        assert await keys.wait_for(REAL.id) is not None
        await first
        assert len(listing.began) == 2

    run_in_virtual_time(main())


def test_known_keys_stay_in_use_while_the_table_does_not_answer() -> None:
    async def main() -> None:
        listing = Listing()
        listing.keys[REAL.id] = REAL.key.public_key()
        keys = TicketKeys(listing)
        await keys.refresh()
        listing.fails = True

        with pytest.raises(NoAnswer):
            await keys.wait_for(make_id())
        assert await keys.wait_for(REAL.id) is not None

    run_in_virtual_time(main())


def test_keys_that_are_over_are_forgotten_and_failures_repeated_soon() -> None:
    async def main() -> None:
        listing = Listing()
        listing.keys[REAL.id] = REAL.key.public_key()
        listing.fails = True
        running = asyncio.create_task((keys := TicketKeys(listing)).run())
        await asyncio.sleep(1.0)
        listing.fails = False
        await asyncio.sleep(REST_SECONDS + 1)
        assert keys.find(REAL.id) is not None
        listing.keys.clear()
        await asyncio.sleep(ticket_keys.REFRESH_SECONDS + REST_SECONDS)
        assert keys.find(REAL.id) is None
        running.cancel()

    run_in_virtual_time(main())
