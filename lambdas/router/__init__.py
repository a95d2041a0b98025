"""Sends recordings on their way: to the server at once, or to the queue."""
