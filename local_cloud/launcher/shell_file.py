"""The file `aws.env`, which a shell reads to use the demo's AWS."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

NAME: Final = "aws.env"


@contextlib.contextmanager
def shell_file(folder: Path, aws: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Path]:
    """Write the file, and remove it at the end; yield its path.

    Args:
        folder: where the demo's data are.
        aws: the environment of a process that uses the demo's AWS; its variables for AWS and for
            proxies get into the file.
        names: further variables, which the client's commands read.
    """
    path = folder / NAME
    variables = {
        name: value
        for name, value in aws.items()
        if name.startswith("AWS_") or name.lower() == "no_proxy"
    } | dict(names)
    lines = [
        "# The demo's AWS, for a shell: until it is closed, AWS is there and nowhere else.",
        "for name in $(env | sed -n 's/^\\(AWS_[A-Z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
    ]
    fresh = path.with_name(f"{NAME}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{line}\n" for line in lines))
    fresh.replace(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
