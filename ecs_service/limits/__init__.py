"""Limits on what clients use: slots for streams and viewers, rates, frames, unread bytes."""
