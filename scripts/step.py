"""Runs a step of the set-up: `python -m scripts.step [--disk MB] TITLE COMMAND...`.

What the command prints goes to a log, of which lines that begin with `Note: ` are shown. Where it
fails, the last lines are shown, and what a known failure means. Standard library only: nothing is
installed yet.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOGS: Final = Path(".local", "logs")
#: How often a step that takes long says that it is at work, in seconds.
HEARTBEAT: Final = 10.0
#: How much of a failed command's output is shown, in lines.
TAIL: Final = 15
MB: Final = 1000**2
EXIT_INTERRUPTED: Final = 130

#: What tools send to steer a terminal, and a line of Node's stack traces.
_NOISE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|^(?:npm error)?\s+at .*:\d+.*\n", re.MULTILINE)
#: Advice, by what the output of the failed command has.
_KNOWN: Final = {
    r"no module named (ensurepip|venv|pip)|ensurepip is not": (
        "This Python has neither pip nor what makes environments. On Debian and Ubuntu: "
        "apt-get install python3-pip python3-venv"
    ),
    r"no space left|enospc": "The disk is full. Make room and run the same command again.",
    r"python\.h: no such file|cmake_c_compiler|'(gcc|cc)' failed|or directory: '(gcc|cc)'": (
        "pocketsphinx has no ready-made package for this Python and is compiled, for which a C "
        "compiler is missing. On Debian and Ubuntu: apt-get install build-essential python3-dev"
    ),
    r"name resolution|name or service not known|new connection|connection refused|dns error"
    r"|unreachable|timed out|eai_again|enotfound|econnrefused|etimedout|could not resolve|tunnel"
    r"|proxy|error sending request|no matching distribution": (
        "The package registry could not be reached. What is done already is kept."
    ),
}


def explain(output: str, environment: Mapping[str, str]) -> str | None:
    """Return what a failure means for the user, where it is a known one."""
    for signs, advice in _KNOWN.items():
        if re.search(signs, output, re.IGNORECASE):
            proxies = sorted(name for name in environment if re.fullmatch("(?i)https?_proxy", name))
            if "registry" in advice and proxies:
                return f"{advice} Is the proxy of {' and '.join(proxies)} right?"
            return advice
    return None


def run(title: str, command: list[str], log: Path) -> int:
    """Run a command to its end; return its exit status."""
    began = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - the Makefile's commands
            command,
            env={name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        while True:
            try:
                status = process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                print_line(f"  ... {title}, {time.monotonic() - began:.0f} s")
            except BaseException:
                process.terminate()
                process.wait()
                raise
            else:
                break
    if status == 0:
        notes = re.findall("^Note: .*", log.read_text(errors="backslashreplace"), re.MULTILINE)
        for line in (f"{title}: ready after {time.monotonic() - began:.0f} s", *notes):
            print_line(line)
    return status


def print_line(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run the step that the command line describes; return the exit status."""
    if arguments[0] == "--disk":
        needed, free = int(arguments[1]) * MB, shutil.disk_usage(Path.cwd()).free
        if free < needed:
            print_line(
                f"Not enough disk: {free / MB:.0f} MB are free, and {needed / MB:.0f} are needed."
            )
            return 1
        arguments = arguments[2:]
    title, *command = arguments
    log = LOGS / f"setup-{re.sub('[^a-z]+', '-', title.lower())}.log"
    print_line(f"{title} ...")
    try:
        status = run(title, command, log)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        print_line(f"{title}: {error.strerror or error}: {error.filename}")
        return 1
    if status:
        output = _NOISE.sub("", log.read_text(errors="backslashreplace"))
        lines = "".join(f"    {line}\n" for line in output.splitlines()[-TAIL:])
        advice = explain(output, os.environ) or f"Everything that was printed: {log}"
        print_line(f"\n{title} failed:\n{lines}{advice}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
