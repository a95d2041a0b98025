"""The Lambda functions, one folder each: a thin `handler.py`, the logic beside it."""
