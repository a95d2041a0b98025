"""The cloud of one machine: the embedded AWS and the launcher behind `make demo`."""
