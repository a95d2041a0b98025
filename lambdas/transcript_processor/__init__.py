"""Brings utterances from the queue into the table, each once."""
