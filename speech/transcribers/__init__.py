"""Transcribers of recordings behind one port, and the process in which each of them runs."""
