"""Recognisers of streams: scripts, dictation, and an engine of this machine."""
