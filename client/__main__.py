"""`python -m client`."""

from __future__ import annotations

import io
import os
import signal
import sys

# Loading takes half a second, in which Ctrl-C would print a stack trace.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# Where AWS's runtime in C is installed as well, botocore signs with it, and it prints a stack
# trace when an upload is interrupted. What it adds, other ways to sign, is not needed here.
os.environ.setdefault("BOTO_DISABLE_CRT", "true")

# Characters that the output's encoding does not have are escaped.
for output in (sys.stdout, sys.stderr):
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")

from client.cli.app import app  # noqa: E402 - see above
from client.cli.printing import guard_stderr  # noqa: E402 - see above

guard_stderr()
app()
