"""Captions files: which cues are shown when, and how each format writes them."""
