"""Recordings: their bucket and queues, who may do what there, and the functions."""
