"""Keeps ECS from ending a server that is at work.

When a service is to have fewer tasks, ECS chooses which to end, and does not know which of them
work. A task that is protected is not chosen, and a deployment waits for it, too.

The protection has an end, and work renews it long before, so a server that hangs does not keep its
machine for ever. Neither does one that always has work: while more tasks are protected than there
are to be, as in a deployment that replaces them all, ECS renews none (`DEPLOYMENT_BLOCKED`), and
then none is asked for until ECS has had the time to end this one. Where the protection cannot be
had, everything goes on without: what is ended in the middle is given back to the queue.

Source: ECS developer guide, "Amazon ECS task scale-in protection endpoint", "Task scale-in
protection considerations" and "API failure reasons".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

#: How long a protection holds, minutes.
MINUTES: Final = 10
#: How often it is renewed while there is work, seconds.
RENEW: Final = 120.0
#: How soon what went wrong is tried again, seconds.
AGAIN: Final = 10.0
#: How long none is asked for after ECS did not renew one: for its rest, and as long again, seconds.
BLOCKED: Final = 2 * 60.0 * MINUTES
#: How long it is kept when the work is done, for the next job is often not far, seconds.
LINGER: Final = 20.0
#: How often to look whether there is work, seconds.
LOOK: Final = 1.0

#: ECS's reason when more tasks of the service are protected than there are to be.
_BLOCKED: Final = "DEPLOYMENT_BLOCKED"

log = structlog.get_logger(__name__)


class Protection:
    """Decides what to ask of ECS. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._protected = False
        self._renew_at = 0.0
        self._again_at = 0.0
        self._blocked_until = 0.0

    def wanted(self, idle: float, now: float) -> bool | None:
        """Return whether to ask for protection (True), for its end (False), or for nothing.

        Args:
            idle: for how long there has been no work; 0 while there is.
            now: the time.
        """
        if now < self._again_at:
            return None
        if self._protected and idle >= LINGER:
            return False
        due = not self._protected or now >= self._renew_at
        return True if not idle and due and now >= self._blocked_until else None

    def answered(self, *, wanted: bool, refusal: str | None, now: float) -> None:
        """Take note of the answer to what was wanted; without a `refusal` it is done."""
        if refusal is None:
            self._protected = wanted
            self._renew_at = now + RENEW
        elif refusal == _BLOCKED:
            self._blocked_until = now + BLOCKED
        else:
            self._again_at = now + AGAIN


async def protect(agent: str, idle: Callable[[], float], *, look: float = LOOK) -> None:
    """Keep this task protected while there is work, until cancelled.

    Args:
        agent: the address of ECS's agent, as it gives it to a container in `ECS_AGENT_URI`.
        idle: tells for how many seconds there has been no work; 0 while there is.
        look: seconds between two looks.
    """
    protection = Protection()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            wanted = protection.wanted(idle(), time.monotonic())
            if wanted is not None:
                refusal = await _put(session, agent, wanted=wanted)
                protection.answered(wanted=wanted, refusal=refusal, now=time.monotonic())
                if refusal is not None:
                    log.warning("task_protection_refused", reason=refusal, wanted=wanted)
            await asyncio.sleep(look)


async def _put(session: aiohttp.ClientSession, agent: str, *, wanted: bool) -> str | None:
    """Ask for protection or for its end; return why it was refused, None if it was not."""
    state: dict[str, object] = {"ProtectionEnabled": wanted}
    if wanted:
        state["ExpiresInMinutes"] = MINUTES
    try:
        async with session.put(f"{agent}/task-protection/v1/state", json=state) as answer:
            return _refusal(answer.status, await answer.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__


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
