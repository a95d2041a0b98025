"""Starts GPUs when recordings wait, and stops them when none do."""
