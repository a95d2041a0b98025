"""Polls for a condition that nothing announces."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    look: Callable[[], Awaitable[T]], what: str, *, within: float = ..., every: float = ...
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], what: str, *, within: float = ..., every: float = ...
) -> T: ...
async def eventually(
    look: Callable[[], T | Awaitable[T]],
    what: str,
    *,
    within: float = 20.0,
    every: float = 0.05,
) -> T:
    """Call `look` until it returns a true value, and return that value.

    `look` may be a coroutine function. Times are seconds. Where an event announces the condition,
    wait for the event instead.

    Raises:
        AssertionError: the condition did not come true in time; names `what` and the last value.
    """
    deadline = time.monotonic() + within
    while True:
        answer = look()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} seconds: {what}; last answer {answer!r}")
        await asyncio.sleep(every)
