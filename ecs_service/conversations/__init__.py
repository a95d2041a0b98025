"""Conversations: broadcast to viewers now, translated for them, and kept until stored."""
