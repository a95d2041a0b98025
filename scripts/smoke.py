"""Tests a deployment as its users do: `python -m scripts.smoke build/outputs-demo.json`.

The file is what the CDK wrote of the stacks' outputs. Five things are tried:

    page       the page and the service answer; a new address may take five minutes to be known
    access     nobody gets in without a right, where there are accounts
    live       a short recording is spoken into a conversation, and a viewer gets its words; where
               there are accounts, with an API key, see scripts.smoke_access; else it is skipped
    recording  the same recording is uploaded, and is transcribed or queued; nothing of it stays
    gpu        ECS runs the GPU server as it should, where the environment has one

A service that is full refuses politely, which is noted and fails nothing. Each finding is a line on
stderr; stdout gets `url=ADDRESS`, or JSON with `--json`. Needs the packages of
client/requirements.txt, and credentials of AWS as every tool of AWS.

Exit codes: 0 nothing failed, 1 something failed, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from foundation import program
from scripts.smoke_access import access, speak
from scripts.smoke_checks import Finding, Verdict, gpu, recording

#: How long the page and the service have to answer, seconds.
PATIENCE: Final = 300.0
PAUSE: Final = 5.0
TIMEOUT: Final = 10.0
#: Paths, and what has to be in the answer.
EXPECTED: Final = {"/": b"<html", "/api/stt/healthcheck": b"ok"}


def merged(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the outputs of all stacks by their names, which are different."""
    return {name: str(value) for stack in outputs.values() for name, value in stack.items()}


def is_address(url: str) -> bool:
    """Return whether a page can be at `url`, e.g. `https://words.example.org`."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or a bracket without its fellow
        return False


def is_here(url: str) -> bool:
    """Return whether `url` is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def complaint(url: str, expected: bytes) -> str | None:
    """Return what is wrong with the answer of `url`, or None."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the address of our own stack
            body = answer.read(65_536)
    except (OSError, HTTPException, ValueError) as error:  # also answers other than 2xx
        return f"{url}: {error}"
    return None if expected in body.lower() else f"{url}: not what was expected"


def page(
    base: str, *, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> Finding:
    """Wait until the page and the service answer."""
    deadline = time.monotonic() + patience
    while True:
        wrong = [c for path, e in EXPECTED.items() if (c := complaint(base + path, e))]
        if not wrong:
            return Finding("page", Verdict.OK, f"{base} serves the page, and the service is well")
        if time.monotonic() >= deadline:
            advice = (
                "is this the address, and does the service run?"
                if is_here(base)
                else "see the tasks' log and the events of the service in ECS"
            )
            return Finding("page", Verdict.FAILED, f"{'; '.join(wrong)}: {advice}")
        sleep(PAUSE)


async def findings(base: str | None, outputs: Mapping[str, str], patience: float) -> list[Finding]:
    """Try everything; what cannot be tried is a finding, too."""
    if base is None:
        why = "no Url among the outputs; where there is a page, give its address with --url"
        first = [Finding(check, Verdict.SKIPPED, why) for check in ("page", "access", "live")]
    else:
        first = [await asyncio.to_thread(page, base, patience=patience)]
        if first[0].verdict is not Verdict.FAILED:
            first += [await access(base, outputs), await speak(base, outputs)]
    return [
        *first,
        await asyncio.to_thread(recording, outputs),
        await asyncio.to_thread(gpu, outputs),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try a deployment; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.smoke", description="Tests a deployment as its users do."
    )
    parser.add_argument("outputs", type=Path, help="file of outputs that the CDK wrote")
    parser.add_argument("--url", help="URL of the page; default: from the outputs")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="longest wait for the page, seconds"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    chosen = parser.parse_args(arguments)
    try:
        outputs = merged(json.loads(chosen.outputs.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        parser.error(f"{chosen.outputs} is not what `cdk deploy --outputs-file` writes: {error}")
    base = chosen.url or outputs.get("Url")
    base = base.rstrip("/") if base else None
    if base is not None and not is_address(base):
        parser.error(f"{base!r} is no address of a page, such as https://words.example.org")
    found = asyncio.run(findings(base, outputs, chosen.patience))
    for each in found:
        program.note(f"{each.verdict:<8}{each.check:<11}{each.text}")
    right = all(each.verdict is not Verdict.FAILED for each in found)
    if chosen.json:
        result = {"url": base, "ok": right, "checks": [each.fields() for each in found]}
        program.show(json.dumps(result, indent=2))
    elif right and base:
        program.show(f"url={base}")
    return 0 if right else 1


if __name__ == "__main__":
    program.end(main)
