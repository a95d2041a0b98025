"""Lines for people, who may be gone."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """Print a line at once, also into a pipe; a terminal that is gone is no reason to stop."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        # What could not be written would be tried again, and complained about, at the exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
