"""`make transcribe-values`: generates `speech/transcribe_values.py` from Amazon's SDK.

    python -m scripts.transcribe_values                     write speech/transcribe_values.py
    python -m scripts.transcribe_values --compare FOLDER    fail where another SDK's API differs

The SDK is the package for JavaScript that the tests run, pinned in tests/aws_sdk_js: nobody else
publishes the streaming API's model as a package. Its types hold the enumerations and its schemas
the parameters' names. Some bounds stand in its documentation alone, and others are left out of it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = "@aws-sdk/client-transcribe-streaming"
PACKAGE: Final = ROOT / "node_modules" / NAME
TARGET: Final = ROOT / "speech/transcribe_values.py"

#: The operations, and what the names of their results begin with.
OPERATIONS: Final = {"StartStreamTranscription": "", "StartMedicalStreamTranscription": "Medical"}
#: What the package leaves out: the pattern of a text, and its greatest length. Source: the Smithy
#: model that the SDK is made from, codegen/sdk-codegen/aws-models/transcribe-streaming.json in the
#: SDK's repository, at commit 09ffb2a. A test compares with botocore what that knows of them, too.
TEXTS: Final = {
    "LanguageModelName": ("[0-9a-zA-Z._-]+", 200),
    "LanguageOptions": ("[a-zA-Z-,]+", 200),
    "PiiEntityTypes": ("[A-Z_, ]+", 300),
    "SessionId": (
        "[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}",
        36,
    ),
    "VocabularyFilterName": ("[0-9a-zA-Z._-]+", 200),
    "VocabularyFilterNames": ("[a-zA-Z0-9,-._]+", 3000),
    "VocabularyName": ("[0-9a-zA-Z._-]+", 200),
    "VocabularyNames": ("[a-zA-Z0-9,-._]+", 3000),
}
#: Likewise the bounds of a number, unless an operation's documentation has its own.
RATE: Final = (8_000, 48_000)
#: What an operation's documentation takes away from an enumeration: the sentence that does, and how
#: it writes values that are not the enumeration's own words.
ONLY: Final = {
    ("StartMedicalStreamTranscription", "LanguageCode"): r"Medical only supports(.*?)</p>",
    ("StartMedicalStreamTranscription", "MediaEncoding"): r"Supported formats are:(.*?)</ul>",
}
WRITTEN: Final = {"FLAC": "flac", "OPUS-encoded": "ogg-opus", "PCM": "pcm"}
#: Texts that hold several values of an enumeration; the second is one that is only documented.
LISTS: Final = {"LanguageOptions": "LanguageCode", "PiiEntityTypes": "PiiEntityType"}

CHANGED: Final = """Amazon Transcribe's streaming API has changed in {package}:

{lines}

`make transcribe-values UPGRADE=1` takes the change over; then run `make test`.
"""
_T = TypeVar("_T")


class UnexpectedPackage(Exception):
    """The package is not built as this script knows it; the script wants a change."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a request, as the package's types have it."""

    name: str
    type: str
    required: bool
    documentation: str
    #: Of its enumeration the values that it may have; None: all of them.
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """What was read of a package."""

    version: str
    #: Values by the enumeration's name.
    enums: dict[str, tuple[str, ...]]
    #: The path of each operation, and the parameters' names with their members.
    operations: dict[str, tuple[str, tuple[tuple[str, Member], ...]]]
    #: The members of each operation's result, item and entity.
    results: dict[str, tuple[tuple[str, ...], ...]]


def read(package: Path) -> Model:
    """Return the model of an installed package.

    Raises:
        UnexpectedPackage: something is not where it was.
        OSError: there is no such package.
    """
    types = package / "dist-types/models"
    declared = (types / "models_0.d.ts").read_text()
    schemas = (package / "dist-es/schemas/schemas_0.js").read_text()
    names = dict(re.findall(r'^const (\w+) = "(.*?)";', schemas, re.MULTILINE))
    enums = {
        name: tuple(re.findall(r': "(.*?)";', body))
        for name, body in re.findall(
            r"declare const (\w+): \{(.*?)\n\};", (types / "enums.d.ts").read_text(), re.DOTALL
        )
    }
    operations = {}
    for operation in OPERATIONS:
        members = _members(declared, f"{operation}Request")
        path = _found(rf'export var {operation}\$ =.*?"POST", "(.*?)"', schemas)
        bound = tuple(
            (
                header.removeprefix("x-amzn-transcribe-"),
                _typed(_known(members, name)),
            )
            for name, header in _headers(schemas, names, f"{operation}Request")
        )
        bound = tuple((name, _narrowed(m, operation, enums)) for name, m in bound)
        operations[operation] = (path, bound)
        enums |= {m.type: _pii(m) for _, m in bound if m.name == "PiiEntityTypes"}
    results = {
        operation: tuple(
            tuple(sorted(_members(declared, prefix + shape)))
            for shape in ("Result", "Item", "Entity")
        )
        for operation, prefix in OPERATIONS.items()
    }
    version = str(json.loads((package / "package.json").read_text())["version"])
    return Model(version, enums, operations, results)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise UnexpectedPackage(f"nothing in the package matches {pattern}")
    return found.group(1)


def _known(found: Mapping[str, _T], name: str) -> _T:
    if name not in found:
        raise UnexpectedPackage(f"the package has no {name}")
    return found[name]


def _members(declared: str, interface: str) -> dict[str, Member]:
    body = _found(rf"export interface {interface} \{{(.*?)\n\}}", declared)
    found = re.findall(r"/\*\*(.*?)\*/\s*(\w+)(\??): (.*?) \| undefined;", body, re.DOTALL)
    return {
        name: Member(name, type_, not optional, " ".join(text.replace("*", " ").split()))
        for text, name, optional, type_ in found
    }


def _headers(schemas: str, names: dict[str, str], shape: str) -> list[tuple[str, str]]:
    """Return the members of a request that travel as headers, with these."""
    schema = rf"export var {shape}\$ = \[3, n0, \w+,\s*0,\s*"
    members = re.findall(r"_\w+", _found(schema + r"\[(.*?)\]", schemas))
    bindings = _found(schema + r"\[.*?\],\s*\[(.*?)\](?:, \d+)?\s*\];", schemas).split("], [")
    if len(members) != len(bindings):
        raise UnexpectedPackage(
            f"{shape} has {len(members)} members, {len(bindings)} of them bound"
        )
    bound = zip(members, bindings, strict=True)
    return [
        (_known(names, member), _known(names, _found(r"_hH\]: (\w+)", binding)))
        for member, binding in bound
        if "_hH" in binding
    ]


def _typed(member: Member) -> Member:
    """Return `member`, of the enumeration that it lists if it lists one."""
    return replace(member, type=LISTS.get(member.name, member.type))


def _narrowed(member: Member, operation: str, enums: Mapping[str, tuple[str, ...]]) -> Member:
    """Return `member`, with the values alone that the operation's documentation leaves it."""
    sentence = ONLY.get((operation, member.name))
    if sentence is None:
        return member
    words = re.findall(r"[\w-]+", _found(sentence, member.documentation))
    named = {WRITTEN.get(word, word) for word in words}
    only = tuple(value for value in enums[member.type] if value in named)
    if not only:
        raise UnexpectedPackage(f"the documentation names no {member.name} of {operation}")
    return replace(member, only=only)


def _pii(member: Member) -> tuple[str, ...]:
    listed = _found(
        r"Values must be comma-separated and can include:(.*?)</p>", member.documentation
    )
    return tuple(sorted(re.findall(r"<code>([A-Z_]+)</code>", listed)))


def _bounds(member: Member) -> tuple[int, int]:
    if member.name == "MediaSampleRateHertz":
        own = re.search(r"supports a range from ([\d,]+) Hz to ([\d,]+) Hz", member.documentation)
        if own is None:
            return RATE
        return int(own.group(1).replace(",", "")), int(own.group(2).replace(",", ""))
    if member.name == "NumberOfChannels":
        only = int(_found(r"must be <code>(\d+)</code>", member.documentation))
        return only, only
    least = _found(r"integer values from (\d+) to \d+", member.documentation)
    most = _found(r"integer values from \d+ to (\d+)", member.documentation)
    return int(least), int(most)


# --- the module -------------------------------------------------------------------------------


def rendered(model: Model) -> str:
    """Return the module's text, which is not formatted.

    Raises:
        UnexpectedPackage: a bound is no longer where it was.
    """
    used = {m.type for _, bound in model.operations.values() for _, m in bound}
    enums = "\n".join(
        f"{name}: TypeAlias = Literal{list(model.enums[name])}"
        for name in sorted(used & model.enums.keys())
    )
    operations = "\n".join(
        _operation(name, path, bound, model) for name, (path, bound) in model.operations.items()
    )
    return f'''"""The parameters of Amazon Transcribe's streaming API and their valid values.

`make transcribe-values` writes this from {NAME}
{model.version}. Do not edit it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from speech.transcribe_api import Operation, Parameter

SDK_VERSION: Final = "{model.version}"

{enums}
{operations}'''


def _operation(name: str, path: str, bound: tuple[tuple[str, Member], ...], model: Model) -> str:
    constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
    parameters = "".join(_parameter(each, member, model) for each, member in sorted(bound, key=str))
    shapes = zip(("result", "item", "entity"), model.results[name], strict=True)
    results = "".join(f"{shape}={members}," for shape, members in shapes)
    return f"{constant}: Final = Operation(path={path!r}, parameters={{{parameters}}}, {results})\n"


def _parameter(name: str, member: Member, model: Model) -> str:
    arguments = [f"member={member.name!r}"]
    kinds = {"number": "number", "boolean": "truth"}
    if member.type in kinds:
        arguments.append(f"kind={kinds[member.type]!r}")
    if member.required:
        arguments.append("required=True")
    if member.type in model.enums:
        values = f"get_args({member.type})" if member.only is None else member.only
        arguments.append(f"values={values}")
    elif member.type not in {*kinds, "string"}:
        raise UnexpectedPackage(f"{member.name} is a {member.type}")
    if member.type == "number":
        least, most = _bounds(member)
        arguments += [f"least={least}", f"most={most}"]
    if member.name in LISTS or member.name.endswith("Names"):
        arguments.append("several=True")
    if member.name in TEXTS:
        pattern, longest = TEXTS[member.name]
        arguments += [f'pattern=r"{pattern}"', f"longest={longest}"]
    elif member.type == "string":
        raise UnexpectedPackage(f"nothing is known of the text {member.name}; see TEXTS")
    return f"{name!r}: Parameter({', '.join(arguments)}),"


def formatted(module: str) -> str:
    """Return a module as ruff formats it here."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(command, input=module, capture_output=True, text=True, check=True)  # noqa: S603 - the environment's own ruff
    return done.stdout


def differences(ours: str, theirs: str) -> list[str]:
    """Return the values that two modules differ in, apart from the SDK's version and the layout."""
    lines = difflib.unified_diff(_values(ours), _values(theirs), lineterm="", n=2)
    return [line for line in lines if not line.startswith(("---", "+++"))]


def _values(module: str) -> list[str]:
    """Return a module with a line for each value."""
    plain = ast.unparse(ast.parse(re.sub(r"\b\d+\.\d+\.\d+\b", "", module)))
    return re.sub(r"[\[({,]", r"\g<0>\n", plain).splitlines()


def main() -> int:
    """Write the module, or compare it with another package."""
    parser = argparse.ArgumentParser(prog="python -m scripts.transcribe_values")
    parser.add_argument("--compare", type=Path, metavar="FOLDER", help=f"another {NAME}")
    folder: Path | None = parser.parse_args().compare
    try:
        model = read(folder or PACKAGE)
        text = rendered(model)
    except (OSError, UnexpectedPackage) as error:
        sys.stderr.write(f"{NAME} cannot be read: {error}\n")
        return 1
    if folder is None:
        TARGET.write_text(formatted(text))
        return 0
    found = differences(TARGET.read_text(), text)
    if found:
        sys.stdout.write(CHANGED.format(package=f"{NAME} {model.version}", lines="\n".join(found)))
        return 1
    sys.stdout.write(f"{NAME} {model.version} describes the same API.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
