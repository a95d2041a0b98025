"""`python -m ecs_service`: run the WebSocket service. Settings come from the environment."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys

from botocore.exceptions import BotoCoreError
from pydantic import ValidationError
from pydantic_core import to_jsonable_python
from pydantic_settings import SettingsError

from ecs_service.app import run
from ecs_service.settings import Settings
from foundation.invalid import explain_settings
from foundation.logs import configure_logging
from speech.engines.errors import EngineError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the service; return the exit code."""
    argparse.ArgumentParser(
        prog="python -m ecs_service",
        description="The Cloudscribe WebSocket service.",
        epilog=describe_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        print(explain_settings(error), file=sys.stderr)
        return EXIT_USAGE
    except SettingsError as error:  # a value that is no JSON
        print(error, file=sys.stderr)
        return EXIT_USAGE
    configure_logging(settings.log_level)
    try:
        ended_well = _run(settings)
    except (OSError, EngineError, sqlite3.Error, BotoCoreError, ValueError) as error:
        print(f"The service cannot start: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:  # while it was starting
        return EXIT_INTERRUPTED
    return 0 if ended_well else EXIT_FAILURE


def _run(settings: Settings) -> bool:
    """Run on uvloop where it is installed: it takes a fifth less CPU per message."""
    try:
        import uvloop  # noqa: PLC0415 - not made for Windows
    except ImportError:
        return asyncio.run(run(settings))
    return uvloop.run(run(settings))


def describe_settings() -> str:
    """Return the help text: a line for each setting, with its default."""
    lines = ["environment variables:"]
    for name, field in Settings.model_fields.items():
        is_fixed = field.default_factory is None and not field.is_required()
        has_default = is_fixed and (bool(field.default) or field.default == 0)
        default = f" [{_as_given(field.default)}]" if has_default else ""
        lines.append(f"  {name.upper():20} {field.description or ''}{default}")
    return "\n".join(lines)


def _as_given(value: object) -> str:
    """Return a default as one would write it in the environment; objects as complete JSON."""
    plain = to_jsonable_python(value)
    return json.dumps(plain) if isinstance(plain, dict) else str(plain)


if __name__ == "__main__":
    sys.exit(main())
