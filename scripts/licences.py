"""Checks the licences of all locked packages, of Python and of npm, by `scripts/licences.toml`.

The check reads installed metadata and package-lock.json, and never the network. Of a Python package
that is not installed here, or whose metadata lack a licence, it takes what a person wrote into
`by_hand`. Whatever it cannot interpret is refused. CONTRIBUTING.md, "Licences", says what it
does not see.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final, Self, TypedDict

from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
POLICY: Final = "scripts/licences.toml"
#: In a `License` field: a name, and not the text of a licence.
LONGEST_NAME: Final = 60
#: A line such as `name==1.0` or `name[extra]==1.0`.
_REQUIREMENT: Final = re.compile(
    r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]\n]*\])?==([^\s;\\]+)", re.MULTILINE
)


class _Exception(TypedDict):
    """Licences that are accepted of one package only."""

    licences: list[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A locked package and all licences that apply to it, as SPDX expressions; () if unknown."""

    name: str
    version: str
    licences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is accepted of one kind of package.

    Attributes:
        kind: a table of the policy's file: `python` or `npm`.
        allowed: identifiers of SPDX.
        spellings: other names of licences, and their identifiers.
        exceptions: by package.
        by_hand: licences that a person read in the package's files, by package.
    """

    kind: str
    allowed: frozenset[str]
    spellings: Mapping[str, str] = field(default_factory=dict)
    exceptions: Mapping[str, _Exception] = field(default_factory=dict)
    by_hand: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, kind: str) -> Self:
        """Parse the policy's file."""
        content = tomllib.loads(text)
        return cls(
            kind=kind,
            allowed=frozenset(content["allowed"]),
            spellings=content["spellings"],
            **content[kind],
        )

    def check(self, packages: Collection[Package]) -> Iterator[str]:
        """Yield a complaint for each refused package and for each entry without a package."""
        for package in packages:
            if not self._is_accepted(package):
                yield f"{package.name} {package.version} ({self.kind}): {self._explain(package)}"
        names = {package.name for package in packages}
        for table, entries in (("exceptions", self.exceptions), ("by_hand", self.by_hand)):
            for name in sorted(set(entries) - names):
                yield f"{name} ({self.kind}): is not locked; remove it from {table} in {POLICY}"

    def _is_accepted(self, package: Package) -> bool:
        exception = self.exceptions.get(package.name)
        accepted = self.allowed.union(exception["licences"] if exception else ())
        return bool(package.licences) and all(
            any(accepted.issuperset(each) for each in _list_alternatives(expression))
            for expression in package.licences
        )

    def _explain(self, package: Package) -> str:
        if not package.licences:
            return (
                "its licence is unknown: it is not installed here, or its metadata name none. Read "
                f"its licence file, and add the licence to {self.kind}.by_hand in {POLICY}"
            )
        return (
            f"{' AND '.join(package.licences)} is not allowed. Use another package, or add an "
            f"exception with its reason to {self.kind}.exceptions in {POLICY}"
        )


def _list_alternatives(expression: str) -> list[list[str]]:
    """Return the licences of each alternative; one with inner parentheses stays as it is."""
    bare = re.sub(r"^\(([^()]*)\)$", r"\1", expression)
    if "(" in bare:
        return [[expression]]
    return [alternative.split(" AND ") for alternative in bare.split(" OR ")]


def read_python(
    locks: Iterable[str], installed: Iterable[Distribution], policy: Policy
) -> list[Package]:
    """Return the packages of locked requirements.

    Args:
        locks: the contents of requirement files.
        installed: what metadata there are; of a package's versions the first counts.
        policy: other names of licences, and licences that a person read.
    """
    pinned = {
        (canonicalize_name(name), version)
        for lock in locks
        for name, version in _REQUIREMENT.findall(lock)
    }
    declared: dict[str, str | None] = {}
    for each in installed:
        declared.setdefault(
            canonicalize_name(each.metadata["Name"]), _read_metadata(each, policy.spellings)
        )
    return [
        Package(name=name, version=version, licences=_join(declared.get(name), name, policy))
        for name, version in sorted(pinned)
    ]


def read_npm(lock: str, policy: Policy) -> list[Package]:
    """Return the packages of a package-lock.json, without the workspaces of the tree itself."""
    found = {
        (path.rpartition("node_modules/")[2], entry["version"], entry.get("license"))
        for path, entry in json.loads(lock)["packages"].items()
        if "node_modules/" in path and not entry.get("link")
    }
    return [
        Package(name=name, version=version, licences=_join(licence, name, policy))
        for name, version, licence in sorted(found, key=str)
    ]


def _join(declared: str | None, name: str, policy: Policy) -> tuple[str, ...]:
    """Return the declared licence and what a person read, each once."""
    return tuple(dict.fromkeys(filter(None, (declared, policy.by_hand.get(name)))))


def _read_metadata(distribution: Distribution, spellings: Mapping[str, str]) -> str | None:
    """Return the licences that metadata declare, as one expression, or None.

    Classifiers have precedence over the free text of `License`, which some packages fill with the
    licence of a part. All classifiers must be allowed, as they do not say whether one may choose.
    """
    metadata = distribution.metadata
    if expression := metadata.get_all("License-Expression"):
        return str(expression[0])
    names = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ") and not each.endswith(":: OSI Approved")
    ]
    if not names:
        texts = [each.strip() for each in metadata.get_all("License", [])]
        names = [each for each in texts if each != "UNKNOWN" and len(each) <= LONGEST_NAME]
    return " AND ".join(sorted({spellings.get(each, each) for each in names})) or None


def check_tree(root: Path) -> list[str]:
    """Return the complaints about the packages that a tree's locks name."""
    text = (root / POLICY).read_text()
    python, npm = (Policy.parse(text, kind) for kind in ("python", "npm"))
    locks = re.findall(r"^lock (\S+)", (root / "scripts" / "lock.sh").read_text(), re.MULTILINE)
    emulator = [str(path) for path in root.glob(".venv-emulator/lib/python3*/site-packages")]
    installed = [*distributions(), *distributions(path=emulator)]
    requirements = read_python([(root / lock).read_text() for lock in locks], installed, python)
    modules = read_npm((root / "package-lock.json").read_text(), npm)
    return [*python.check(requirements), *npm.check(modules)]


if __name__ == "__main__":
    # A text goes to standard error, with status 1.
    sys.exit("\n".join(check_tree(ROOT)) or None)
