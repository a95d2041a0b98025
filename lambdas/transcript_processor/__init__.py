"""Stores utterances from the queue in the table, each once."""
