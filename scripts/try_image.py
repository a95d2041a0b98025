"""Tries the service's image with Docker: `python3 -m scripts.try_image IMAGE`.

The image has to start as somebody else than root with a root that is read-only, as it will in
the cloud, has to answer, and has to end of itself when it is told to.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from http.client import HTTPException

START = 60.0
STOP = 40
PORT = 8080


class ImageFails(RuntimeError):
    """The image does not do what the cloud asks of it."""


def docker(*arguments: str) -> str:
    """Run Docker; return what it prints."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["docker", *arguments],  # noqa: S607 - the pipeline's Docker
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def try_out(image: str) -> None:
    """Start, ask, stop.

    Raises:
        ImageFails: something is not as it has to be.
    """
    container = docker("run", "--detach", "--read-only", "--publish", f"127.0.0.1::{PORT}", image)
    try:
        _wait_for_answer(docker("port", container, f"{PORT}/tcp").splitlines()[0])
        if docker("exec", container, "id", "-u") == "0":
            raise ImageFails("it runs as root")
        docker("stop", "-t", str(STOP), container)  # long, it has two names
        status = docker("inspect", "--format", "{{.State.ExitCode}}", container)
        if status != "0":
            raise ImageFails(f"told to stop, it ended with status {status}")
    finally:
        sys.stderr.write(docker("logs", container))
        docker("rm", "--force", container)


def _wait_for_answer(address: str) -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/api/stt/healthcheck", timeout=2):
                return
        except (OSError, HTTPException) as error:
            if time.monotonic() > deadline:
                raise ImageFails(f"it does not answer: {error}") from error
            time.sleep(0.5)


def main(arguments: list[str]) -> int:
    """Try the image; return the exit status."""
    try:
        try_out(arguments[0])
    except (ImageFails, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write("The image starts, answers and stops.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
