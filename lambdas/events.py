"""What all events have in common, as far as functions look at it."""

from __future__ import annotations

from typing import Any, Final

#: EventBridge's ids have 36 characters; what is longer is none, and would fill a log.
MAX_ID_LENGTH: Final = 128


def event_id(event: Any) -> str | None:
    """Return an event's id for logs; None where it has none, or is no object at all."""
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_ID_LENGTH else None
