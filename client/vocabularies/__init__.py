"""Vocabularies and vocabulary filters of Amazon Transcribe."""
