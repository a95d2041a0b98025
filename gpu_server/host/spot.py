"""Watches EC2's instance metadata (version 2) for the notice that Spot takes the machine back.

It is for machines that you run yourself; on ECS, managed draining sends SIGTERM.

Source: EC2 user guide, "Spot
Instance interruption notices" and "Use the Instance Metadata Service".
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import structlog

METADATA: Final = "http://169.254.169.254"
#: Interval between two checks, as the user guide recommends, seconds.
EVERY: Final = 5.0
TOKEN_SECONDS: Final = 300

log = structlog.get_logger(__name__)


async def wait_for_spot_notice(base: str = METADATA, *, every: float = EVERY) -> None:
    """Return once Spot has announced that it takes the machine back."""
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(base, timeout=timeout) as session:
        while True:
            try:
                if await _noticed(session):
                    log.warning("spot_notice")
                    return
            except (aiohttp.ClientError, TimeoutError) as error:
                log.debug("no_instance_metadata", error=type(error).__name__)
            await asyncio.sleep(every)


async def _noticed(session: aiohttp.ClientSession) -> bool:
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
    async with session.put("/latest/api/token", headers=ttl) as answer:
        answer.raise_for_status()
        token = await answer.text()
    async with session.get(
        "/latest/meta-data/spot/instance-action", headers={"X-aws-ec2-metadata-token": token}
    ) as answer:
        return answer.status == 200  # noqa: PLR2004 - 404 until there is a notice
