"""`python -m local_cloud demo`: run everything on this machine; `make demo` sets up first."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    signal.signal(signal.SIGINT, _end)
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud",
        description="Runs Cloudscribe with everything that it needs on this machine.",
        epilog="PORT: port to serve on [8080]. LOCAL_DIR: folder for data [.local]. "
        "ACCESS=accounts: people sign in; otherwise everybody on this machine may do everything. "
        "ENGINE=transcribe: Amazon Transcribe, in your AWS account where there are credentials, "
        "else a local one; TRANSCRIBE_ENDPOINT=local: always a local one. MODEL: a folder with a "
        "Whisper model for recordings. Every setting of the service (`python -m ecs_service "
        "--help`) may be given as well. Exit codes: 0 stopped, 1 failed, 2 wrong settings, "
        "130 stopped by force.",
    )
    parser.add_argument("command", choices=["demo"], help="start everything")
    parser.parse_args()
    from local_cloud.launcher.demo import launch  # noqa: PLC0415 - takes a second; Ctrl-C may come

    return launch(os.environ)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End before anything was started; the launcher handles the signal later."""
    sys.stdout.write("\nStopped before anything was started.\n")
    sys.stdout.flush()
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
