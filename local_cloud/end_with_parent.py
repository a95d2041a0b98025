"""Runs a program, and ends it when the parent process ends.

    python -m local_cloud.end_with_parent GRACE PROGRAM [ARGUMENT ...]

The parent holds the other end of standard input, which closes however the parent ends. Then the
program gets SIGTERM and, GRACE seconds later, its whole process group gets SIGKILL. SIGTERM is
passed on. The exit code is the program's, or 128 + N when signal N ended it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program; return its exit code."""
    grace, program = float(sys.argv[1]), sys.argv[2:]
    orphaned = threading.Event()
    child = subprocess.Popen(program, stdin=subprocess.DEVNULL)  # noqa: S603 - the parent's own call

    def terminate() -> None:
        if child.poll() is None:
            child.terminate()

    def end_with_parent() -> None:
        while os.read(0, 4096):
            pass
        orphaned.set()
        terminate()
        timer = threading.Timer(grace, os.killpg, (0, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, lambda *_: terminate())
    threading.Thread(target=end_with_parent, daemon=True).start()
    status = child.wait()
    if orphaned.is_set():
        os.killpg(0, signal.SIGKILL)  # no parent is left to end what the program has started
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main())
