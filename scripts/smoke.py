"""Looks whether a deployment serves: `python -m scripts.smoke build/outputs-demo.json`.

The file is what the CDK wrote of the stacks' outputs. The page and the service have five minutes
to answer, for a new address takes that long to be known everywhere. Prints `url=ADDRESS`.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

PATIENCE = 300.0
PAUSE = 5.0
TIMEOUT = 10.0
#: Paths, and what has to be in the answer.
EXPECTED = {"/": b"<html", "/api/stt/healthcheck": b"ok"}


def address(outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the page's address from the outputs of all stacks."""
    found = (str(values["Url"]) for values in outputs.values() if "Url" in values)
    return next(found, None)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def complaint(url: str, expected: bytes) -> str | None:
    """Return what is wrong with the answer of `url`, or None."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the address of our own stack
            body = answer.read(65_536)
    except (OSError, HTTPException) as error:  # also answers other than 2xx
        return f"{url}: {error}"
    return None if expected in body.lower() else f"{url}: not what was expected"


def serves(
    base: str, *, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Tell whether everything answers before `patience` seconds are over."""
    deadline = time.monotonic() + patience
    while True:
        wrong = [c for path, e in EXPECTED.items() if (c := complaint(base + path, e))]
        if not wrong or time.monotonic() >= deadline:
            break
        sleep(PAUSE)
    for text in wrong:
        _say(text)
    return not wrong


def main(arguments: list[str]) -> int:
    """Look; return the exit status."""
    base = address(json.loads(Path(arguments[0]).read_text()))
    if base is None:
        _say("The outputs have no Url: there is no page in this environment.")
        return 1
    if not serves(base):
        return 1
    sys.stdout.write(f"url={base}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
