"""`python -m local_cloud demo`: run everything on this machine; `make demo` sets up first."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from local_cloud.launcher import run


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud",
        description="The cloud of one machine.",
        epilog="PORT: where to serve [8080]. LOCAL_DIR: where to keep data [.local]. "
        "ENGINE=transcribe: Amazon Transcribe, in your AWS account where there are credentials, "
        "else a local one; TRANSCRIBE_ENDPOINT=local: always a local one. Every setting of the "
        "service (`python -m ecs_service --help`) may be given as well.",
    )
    parser.add_argument("command", choices=["demo"], help="demo: start everything")
    parser.parse_args()
    return asyncio.run(run(os.environ))


if __name__ == "__main__":
    sys.exit(main())
