"""Waiting for something that nobody announces."""

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
    """Call `look` until what it returns is true, and return that.

    `look` may be a coroutine function. Times are seconds. For what announces itself, wait
    for the announcement instead.

    Raises:
        AssertionError: it did not happen in time; names `what` and the last answer.
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
