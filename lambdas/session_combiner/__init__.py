"""Combines the transcripts of a session's chunks into one."""
