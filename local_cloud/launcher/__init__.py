"""The program behind `make demo`."""
