"""How long to wait before the next attempt.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
"""

from __future__ import annotations

import math
import random


def backoff(
    failures: int,
    *,
    first: float,
    longest: float = math.inf,
    jitter: float = 0.5,
    draw: float | None = None,
) -> float:
    """Return the wait after a number of failures in a row, in seconds.

    The wait is `first` after the first failure and doubles with each further one, up to `longest`.
    Jitter then shortens it, so that clients that failed together do not all return together.

    Args:
        failures: 1 or more.
        first: seconds.
        longest: seconds.
        jitter: the largest part that is taken off the wait. A half ("equal jitter") suits most
            retries, 1 ("full jitter") suits writers that compete for one object, and 0 makes the
            wait exact.
        draw: which share of that part is taken off, 0 to 1; None draws it at random.
    """
    wait = min(longest, first * 2.0 ** min(failures - 1, 64))
    drawn = random.random() if draw is None else draw  # noqa: S311 - jitter, not a secret
    return wait * (1.0 - jitter * drawn)
