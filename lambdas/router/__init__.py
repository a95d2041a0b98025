"""Gives each uploaded recording to whoever transcribes it."""
