"""The command `python -m gpu_server`, which runs the server. Settings are environment variables."""

from __future__ import annotations

import argparse
import asyncio
import sys

from botocore.exceptions import BotoCoreError
from pydantic import ValidationError
from pydantic_settings import SettingsError

from foundation.logs import configure_logging
from foundation.settings import describe_settings, explain_settings
from gpu_server.app import run
from gpu_server.host.hidden import hide_process
from gpu_server.settings import Settings, from_environment
from speech.transcribers.errors import TranscriberUnavailable

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the server; return the exit code."""
    hide_process()
    argparse.ArgumentParser(
        prog="python -m gpu_server",
        description="The Cloudscribe server for recordings: an HTTP API, and a worker for "
        "the queue of jobs.",
        epilog=describe_settings(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        settings = from_environment()
    except (ValidationError, SettingsError) as error:
        print(explain_settings(error), file=sys.stderr)
        return EXIT_USAGE
    configure_logging(settings.log_level)
    try:
        ended_well = asyncio.run(run(settings))
    except (OSError, TranscriberUnavailable, BotoCoreError, ValueError) as error:
        print(f"The server cannot start: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:  # while it was starting
        return EXIT_INTERRUPTED
    return 0 if ended_well else EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
