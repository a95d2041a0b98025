"""`python -m client`."""

from __future__ import annotations

import signal

# Loading takes half a second, in which Ctrl-C would print a stack trace.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from client.commands import app  # noqa: E402 - see above

app()
