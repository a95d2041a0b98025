"""Recordings in the bucket: upload them, look at their status, fetch their transcripts."""
