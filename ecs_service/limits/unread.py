"""Limits the memory for messages that slow viewers have not read, for all viewers together.

Each viewer may leave up to 1 MiB unread (`backlog.py`), which for a thousand viewers is more than
there is. So they share a budget, too. When it is used up, viewers that use more than the
average are disconnected; they may come back and get what they lack.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Up to so many bytes of a viewer are not counted. Few viewers have any, because the kernel buffers
#: 256 KiB first.
UNCOUNTED_BYTES = 8 * 1024


class UnreadBudget:
    """The unread bytes of each viewer, as of the last message to it; at most `most` together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[object, int] = {}
        self.total = 0

    def allows(self, viewer: object, waiting: int) -> bool:
        """Record that a viewer has `waiting` unread bytes; return whether it may stay connected."""
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
        """Forget the viewer when the context is closed."""
        try:
            yield
        finally:
            self._forget(viewer)

    def _forget(self, viewer: object) -> None:
        self.total -= self._waiting.pop(viewer, 0)
