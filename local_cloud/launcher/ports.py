"""Ports of this machine: which are free, and which program listens on one.

Standard library only: it is used before anything is installed.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from local_cloud.errors import LaunchError

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
MAX_PORT: Final = 65_535
#: The port at which a search for another one begins.
OTHER_PORT: Final = 8090
#: State of a socket that listens, in the table of Linux.
LISTENING: Final = "0A"


def chosen_port(environment: Mapping[str, str]) -> int:
    """Return the number in `PORT`, or the default.

    Raises:
        LaunchError: `PORT` is not a port.
    """
    text = environment.get("PORT") or str(DEFAULT_PORT)
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT))
    if not digits or int(text) > MAX_PORT:
        raise LaunchError(f"PORT={text} is not a port; give a number up to {MAX_PORT}.")
    return int(text)


def take_port(port: int) -> socket.socket:
    """Return a socket that listens on the port, which reserves it.

    Raises:
        LaunchError: another program listens there, or the port may not be used.
    """
    try:
        return _listen(port)
    except OSError as error:
        other = f"Choose another: PORT={_other_port(port)} make demo"
        if error.errno == errno.EADDRINUSE:
            raise LaunchError(f"Port {port} is taken by {holder(port)}. {other}") from None
        raise LaunchError(f"Port {port} cannot be used: {error.strerror}. {other}") from None


def remembered_port(file: Path, show: Callable[[str], None]) -> int:
    """Return the port in a file if it is free; else 0, and `show` a warning where it is taken."""
    try:
        port = int(file.read_text())
    except (OSError, ValueError):
        return 0
    if port in range(1024, MAX_PORT + 1) and is_free(port):
        return port
    show(f"  Its port of the last time, {port}, is taken by {holder(port)}; it takes another.")
    show("  Read aws.env again in shells that have read it.")
    return 0


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port at the moment."""
    try:
        _listen(port).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Refuses a port on which somebody listens also where a bind alone would succeed.
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _other_port(port: int) -> int:
    others = range(OTHER_PORT, OTHER_PORT + 100)
    return next((one for one in others if one != port and is_free(one)), OTHER_PORT)


def holder(port: int) -> str:
    """Return the name of the program that listens on a port, where Linux lets us see it."""
    with contextlib.suppress(OSError):
        tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        inodes = {
            inode
            for table in tables
            if table.exists()
            for inode in listeners(table.read_text(), port)
        }
        wanted = {f"socket:[{inode}]" for inode in inodes}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if any(str(fd.readlink()) in wanted for fd in (process / "fd").iterdir()):
                    return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return "another program"


def listeners(table: str, port: int) -> set[str]:
    """Return the inodes of sockets that listen on a port, from the text of `/proc/net/tcp`."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        row[9]
        for row in rows
        if len(row) > 9 and row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port  # noqa: PLR2004 - the inode's column
    }
