"""What waits for slow viewers, all of them together.

Each may leave up to a MiB unread (`api/connection.py`), which is little for one and more than there
is for a thousand. So they share a budget, too: when it is used up, those who take more than the
average are cut off, and may come back to a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Less than this is not counted, bytes. Next to nobody leaves any: the kernel takes 256 KiB first.
UNCOUNTED_BYTES = 8 * 1024


class UnreadBudget:
    """Keeps account of what waits for whom, as of the last message to each: `most` bytes in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[object, int] = {}
        self.total = 0

    def allows(self, viewer: object, waiting: int) -> bool:
        """Note that `waiting` bytes wait for a viewer; return whether it may stay."""
        if waiting <= UNCOUNTED_BYTES:
            if viewer in self._waiting:
                self._forget(viewer)
            return True
        self.total += waiting - self._waiting.get(viewer, 0)
        self._waiting[viewer] = waiting
        if self.total <= self._most or waiting * len(self._waiting) < self.total:
            return True
        self._forget(viewer)
        return False

    @contextmanager
    def track(self, viewer: object) -> Iterator[None]:
        """Forget a viewer in the end."""
        try:
            yield
        finally:
            self._forget(viewer)

    def _forget(self, viewer: object) -> None:
        self.total -= self._waiting.pop(viewer, 0)
