"""What a demo has for itself: a folder and a port. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_cloud.errors import LaunchError

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
MAX_PORT: Final = 65_535
#: Where a search for another port begins.
OTHER_PORT: Final = 8090
#: State of a socket that listens, in the table of Linux.
LISTENING: Final = "0A"
#: Held by the copy that runs on a folder.
LOCK: Final = "demo.lock"


@dataclass(frozen=True, slots=True)
class Places:
    """`PORT` and `LOCAL_DIR`."""

    port: int
    folder: Path

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> Places:
        """Return the places.

        Raises:
            LaunchError: `PORT` is not a port.
        """
        text = environment.get("PORT") or str(DEFAULT_PORT)
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT))
        if not digits or int(text) > MAX_PORT:
            raise LaunchError(f"PORT={text} is not a port; give a number up to {MAX_PORT}.")
        return cls(int(text), folder_of(environment))


def folder_of(environment: Mapping[str, str]) -> Path:
    """Return where data are kept; `make demo LOCAL_DIR=~/x` leaves the `~` to us."""
    folder = Path(environment.get("LOCAL_DIR") or ".local")
    with contextlib.suppress(RuntimeError):  # there is no home
        folder = folder.expanduser()
    return (ROOT / folder).resolve()


@contextlib.contextmanager
def only_copy(folder: Path) -> Iterator[Path]:
    """Keep a second copy off the data; yield the file that says where this one is.

    Raises:
        LaunchError: another copy runs on this folder, or it cannot be written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise LaunchError(
            f"The data cannot be kept in {folder}: {error.strerror}. "
            "Choose another folder: LOCAL_DIR=/path/to/folder make demo"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError(
                f"Cloudscribe runs here already{_whereabouts(path)}. Stop it with Ctrl-C where it "
                "was started, or start a second one beside it: "
                "LOCAL_DIR=.local/second PORT=8090 make demo"
            ) from None
        try:
            yield path
        finally:
            file.truncate(0)


def is_running(folder: Path) -> bool:
    """Return whether a copy runs on a folder."""
    try:
        with (folder / LOCK).open() as file:
            # Shared, and let go at once: of a demo that starts this is in the way for microseconds.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _whereabouts(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text())
        return f" (process {known['pid']}, {known['url']})"
    return ""


def take_port(port: int) -> socket.socket:
    """Return a socket that listens on the port, so that nobody takes it while the rest starts.

    Raises:
        LaunchError: it cannot be had.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Refuses a port on which somebody listens also where a bind alone would succeed.
        listener.listen()
    except OSError as error:
        listener.close()
        other = f"Choose another: PORT={_other_port(port)} make demo"
        if error.errno == errno.EADDRINUSE:
            who = holder(port) or "another program"
            raise LaunchError(f"Port {port} is taken by {who}. {other}") from None
        raise LaunchError(f"Port {port} cannot be used: {error.strerror}. {other}") from None
    return listener


def remembered_port(file: Path, tell: Callable[[str], None]) -> int:
    """Return the port that a file remembers, if it can be had again; else 0."""
    try:
        port = int(file.read_text())
    except (OSError, ValueError):
        return 0
    if port in range(1024, MAX_PORT + 1) and is_free(port):
        return port
    tell(f"  Its port of the last time, {port}, is taken by {holder(port) or 'another program'};")
    tell("  it takes another. Shells that have read aws.env read it again.")
    return 0


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _other_port(port: int) -> int:
    others = range(OTHER_PORT, OTHER_PORT + 100)
    return next((one for one in others if one != port and is_free(one)), OTHER_PORT)


def holder(port: int) -> str | None:
    """Return the program that listens on a port of this machine, where Linux lets us see it."""
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
    return None


def listeners(table: str, port: int) -> set[str]:
    """Return the inodes of sockets that listen on a port, from the text of `/proc/net/tcp`."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        row[9]
        for row in rows
        if len(row) > 9 and row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port  # noqa: PLR2004 - the inode's column
    }
