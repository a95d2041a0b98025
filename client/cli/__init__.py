"""The commands of `python -m client`, and everything that they print."""
