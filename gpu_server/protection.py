"""Keeps ECS from ending a server that is at work, or that was asked to stay.

When a service is to have fewer tasks, ECS chooses which to end, and does not know which of them
work. A task that is protected is not chosen, and a deployment waits for it, too.

The protection has an end, and work renews it long before. So a server that hangs does not keep its
machine for ever; and neither does a deployment wait for ever for one that always has work, for ECS
renews no protection that blocks a deployment. Where the protection cannot be had, everything goes
on without: what is ended in the middle is given back to the queue.

Source: ECS developer guide, "Amazon ECS task scale-in protection endpoint" and "API failure
reasons".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import structlog

#: How long a protection holds, minutes.
MINUTES: Final = 10
#: How often it is renewed while there is work, and asked for again where it was refused, seconds.
RENEW: Final = 120.0
#: How long it is kept when the work is done, for the next job is often not far, seconds.
LINGER: Final = 20.0
#: How often to look whether there is work, seconds.
LOOK: Final = 1.0

log = structlog.get_logger(__name__)


async def protect(
    agent: str,
    idle: Callable[[], float],
    *,
    renew: float = RENEW,
    linger: float = LINGER,
    look: float = LOOK,
) -> None:
    """Keep this task protected while there is work, until cancelled.

    Args:
        agent: the address of ECS's agent, as it gives it to a container in `ECS_AGENT_URI`.
        idle: tells for how many seconds there has been no work; 0 while there is.
        renew: seconds between two requests while there is.
        linger: seconds without work after which the protection ends.
        look: seconds between two looks at the work.
    """
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asked: float | None = None  # when we last asked for protection; None: it has ended
        while True:
            unused, now = idle(), time.monotonic()
            if not unused and (asked is None or now - asked >= renew):
                asked = now
                await _put(session, agent, {"ProtectionEnabled": True, "ExpiresInMinutes": MINUTES})
            elif asked is not None and unused >= linger:
                asked = None
                await _put(session, agent, {"ProtectionEnabled": False})
            await asyncio.sleep(look)


async def _put(session: aiohttp.ClientSession, agent: str, state: dict[str, Any]) -> None:
    why = None
    try:
        async with session.put(f"{agent}/task-protection/v1/state", json=state) as answer:
            why = _refusal(answer.status, await answer.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        why = type(error).__name__
    if why is not None:
        log.warning("task_protection_refused", reason=why, wanted=state["ProtectionEnabled"])


def _refusal(status: int, body: bytes) -> str | None:
    """Return why the agent did not do as it was told; None if it did.

    It says so in the body: `failure` is ECS's reason, `error` that the call itself failed.
    """
    try:
        answer = json.loads(body)
        told = answer.get("failure") or answer.get("error") or {}
        reason = told.get("Reason") or told.get("Code")
    except (ValueError, AttributeError):
        return f"status {status}, not understood"
    if reason is None and status != 200:  # noqa: PLR2004 - what a done request has
        return f"status {status}"
    return None if reason is None else str(reason)
