"""Output for the terminal in which the demo was started."""

from __future__ import annotations

import os
import sys


def print_line(text: str) -> None:
    """Print a line and flush it; ignore that the terminal or the pipe is closed."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        # Python would flush what could not be written again at the exit, and complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
