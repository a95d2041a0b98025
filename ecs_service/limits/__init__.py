"""Limits on what clients take: slots for streams and viewers, rates, frames, unread bytes."""
