"""Artifacts that are built before a synth: function code, a layer, the page.

`make build` makes them all. A synth therefore needs neither network nor Docker, and what is
deployed and promoted is byte for byte what was tested.

FileNotFoundError
└── MissingArtifact    something was not built; the message says how to build it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class MissingArtifact(FileNotFoundError):
    """Something was not built."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The folders of the artifacts."""

    #: Has `functions/NAME` with sources only, and `layer` with the dependencies for arm64.
    build: Path = ROOT / "build"
    #: Has `index.html` and `assets/`.
    page: Path = ROOT / "frontend" / "dist"

    def function(self, name: str) -> str:
        """Return the folder of a function's code, e.g. of `router`.

        Raises:
            MissingArtifact: it was not built.
        """
        return _built(self.build / "functions" / name)

    def layer(self) -> str:
        """Return the folder of the functions' dependencies, as Lambda unpacks a layer.

        Raises:
            MissingArtifact: it was not built.
        """
        return _built(self.build / "layer")

    def website(self) -> str:
        """Return the folder of the built page.

        Raises:
            MissingArtifact: it was not built.
        """
        return _built(self.page)


def _built(folder: Path) -> str:
    if not folder.is_dir():
        raise MissingArtifact(f"{folder} is missing; `make build` makes it")
    return str(folder)
