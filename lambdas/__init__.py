"""The Lambda functions, a folder each: a thin `handler.py`, and its decisions beside it."""
