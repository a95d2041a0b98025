"""The server for recordings: an HTTP API and a queue worker, both in front of one model queue."""
