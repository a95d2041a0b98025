"""Prints the name of the embedded engine that can be installed on this machine.

`moonshine` where the packages of speech/requirements-moonshine.txt are made for the machine, else
`pocketsphinx`, which is compiled where it has no package. pip decides by the same properties, but
only fails where there is no package. Standard library only.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

#: The least version of glibc for moonshine-voice 0.0.73, by processor.
GLIBC: Final = {"x86_64": (2, 34), "aarch64": (2, 31)}
#: The least macOS, on Apple silicon.
MACOS: Final = (15,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What packages are made for: `platform.system()` and so on."""

    system: str
    processor: str
    #: Name and version of the C library; empty elsewhere than on Linux.
    libc: tuple[str, str] = ("", "")
    #: Empty elsewhere than on macOS.
    macos: str = ""


def choose(machine: Machine) -> str:
    """Return the engine for a machine."""
    if machine.system == "Linux":
        name, version = machine.libc
        needed = GLIBC.get(machine.processor)
        fits = name == "glibc" and needed is not None and _parse(version) >= needed
    else:
        fits = machine.processor == "arm64" and _parse(machine.macos) >= MACOS
    return "moonshine" if fits else "pocketsphinx"


def _parse(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


if __name__ == "__main__":
    print(  # noqa: T201 - for the Makefile
        choose(
            Machine(
                system=platform.system(),
                processor=platform.machine(),
                libc=platform.libc_ver(),
                macos=platform.mac_ver()[0],
            )
        )
    )
