"""The server for recordings: an HTTP API and a worker of the jobs' queue around one transcriber."""
