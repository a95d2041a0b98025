"""Asks ECS not to stop this task while it works (task scale-in protection).

When a service scales in, ECS chooses which tasks to stop and does not know which of them work. ECS
does not choose a protected task, and a deployment waits for it.

A protection expires, and a working server renews it long before, so a server that hangs does not
keep its machine for ever. A server that always has work does not either: while more tasks are
protected than the service wants, as in a deployment that replaces them all, ECS renews no
protection (`DEPLOYMENT_BLOCKED`). The server then asks for none until ECS has had time to stop it.
Without protection the work goes on; a job that is cut off returns to the queue.

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
#: How often it is renewed while the server works, seconds.
RENEW: Final = 120.0
#: Pause after a call that failed, seconds.
AGAIN: Final = 10.0
#: Pause after ECS refused to renew: the rest of the protection, and as long again, seconds.
BLOCKED: Final = 2 * 60.0 * MINUTES
#: How long it is kept after the last job, because the next one often follows soon, seconds.
LINGER: Final = 20.0
#: Interval between two checks for work, seconds.
LOOK: Final = 1.0

#: ECS's reason when more tasks of the service are protected than there are to be.
_BLOCKED: Final = "DEPLOYMENT_BLOCKED"

log = structlog.get_logger(__name__)


class Protection:
    """Decides what to request from ECS. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._protected = False
        self._renew_at = 0.0
        self._again_at = 0.0
        self._blocked_until = 0.0

    def decide(self, idle: float, now: float) -> bool | None:
        """Return whether to request protection (True), its end (False), or nothing (None).

        Args:
            idle: seconds without work; 0 while there is some.
            now: the time.
        """
        if now < self._again_at:
            return None
        if self._protected and idle >= LINGER:
            return False
        due = not self._protected or now >= self._renew_at
        return True if not idle and due and now >= self._blocked_until else None

    def record_answer(self, *, wanted: bool, refusal: str | None, now: float) -> None:
        """Record ECS's answer to a request; `refusal` is None where it was granted."""
        if refusal is None:
            self._protected = wanted
            self._renew_at = now + RENEW
        elif refusal == _BLOCKED:
            self._blocked_until = now + BLOCKED
        else:
            self._again_at = now + AGAIN


async def protect_while_busy(agent: str, idle: Callable[[], float], *, look: float = LOOK) -> None:
    """Keep this task protected while there is work, until cancelled.

    Args:
        agent: the URL of the ECS agent, from the container's `ECS_AGENT_URI`.
        idle: returns the seconds without work; 0 while there is some.
        look: seconds between two checks.
    """
    protection = Protection()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            wanted = protection.decide(idle(), time.monotonic())
            if wanted is not None:
                refusal = await _put(session, agent, wanted=wanted)
                protection.record_answer(wanted=wanted, refusal=refusal, now=time.monotonic())
                if refusal is not None:
                    log.warning("task_protection_refused", reason=refusal, wanted=wanted)
            await asyncio.sleep(look)


async def _put(session: aiohttp.ClientSession, agent: str, *, wanted: bool) -> str | None:
    """Request protection or its end; return the reason for a refusal, None if it was granted."""
    state: dict[str, object] = {"ProtectionEnabled": wanted}
    if wanted:
        state["ExpiresInMinutes"] = MINUTES
    try:
        async with session.put(f"{agent}/task-protection/v1/state", json=state) as answer:
            return _refusal(answer.status, await answer.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__


def _refusal(status: int, body: bytes) -> str | None:
    """Return the reason for a refusal from the agent's answer; None if the request was granted.

    In the body, `failure` is ECS's refusal and `error` a failure of the call itself.
    """
    try:
        answer = json.loads(body)
        failure = answer.get("failure") or answer.get("error") or {}
        reason = failure.get("Reason") or failure.get("Code")
    except (ValueError, AttributeError):
        return f"status {status}, not understood"
    if reason is None and status != 200:  # noqa: PLR2004 - OK
        return f"status {status}"
    return None if reason is None else str(reason)
