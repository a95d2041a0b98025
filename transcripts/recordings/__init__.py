"""Recordings in S3: their keys, documents, sessions and status."""
