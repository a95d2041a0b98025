"""Reading of templates that `cdk synth` wrote, without calls to AWS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from infra.costs.errors import NotAnAssembly, UnpricedResource

#: The tag with the name of a stack's environment.
ENVIRONMENT_TAG: Final = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack of an assembly."""

    name: str
    template: Mapping[str, Any]
    environment: str | None = None
    #: None if the command line chooses it at deployment.
    region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of a template, with the values that are known before deployment."""

    stack: str
    logical_id: str
    type: str
    properties: Mapping[str, Any]
    #: Defaults of the template's parameters.
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return its name in messages."""
        return f"{self.type} {self.logical_id} in {self.stack}"

    def unpriced(self, why: str) -> UnpricedResource:
        """Return the error that no price is known for this resource."""
        return UnpricedResource([f"{self}: {why}"])

    def value(self, *path: str, default: Any = None) -> Any:
        """Return the property at `path`, or the default if it is missing."""
        found: Any = self.properties
        for name in path:
            found = resolve(found, self.parameters)
            if not isinstance(found, Mapping) or name not in found:
                return default
            found = found[name]
        found = resolve(found, self.parameters)
        return default if found is None else found

    def number(self, *path: str, default: int | None = None) -> Decimal:
        """Return the number at `path`.

        Raises:
            UnpricedResource: only AWS knows it, or it is missing and has no default.
        """
        found = self.value(*path, default=default)
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            raise self.unpriced(f"{'.'.join(path)} is not known before deployment: {found!r}")
        try:
            return Decimal(str(found))
        except ArithmeticError:
            raise self.unpriced(f"{'.'.join(path)} is not a number: {found!r}") from None

    def items(self, *path: str) -> list[Any]:
        """Return the list at `path`, without entries that a condition leaves out.

        Raises:
            UnpricedResource: only AWS knows how long it is.
        """
        found = self.value(*path, default=[])
        if not isinstance(found, list):
            raise self.unpriced(f"{'.'.join(path)} is not known before deployment: {found!r}")
        entries = (resolve(entry, self.parameters) for entry in found)
        return [entry for entry in entries if entry is not None]


def resolve(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Replace a reference to a parameter, or an `Fn::If`, by its value.

    Conditions are not evaluated. Of two numbers the greater one is taken, so that an estimate is
    rather too high; otherwise the first branch that is not `AWS::NoValue`. `AWS::NoValue` itself
    becomes None. Other references stay, because only AWS can resolve them.
    """
    match value:
        case {"Ref": "AWS::NoValue"}:
            return None
        case {"Ref": str(name)} if name in parameters:
            return parameters[name]
        case {"Fn::If": [_, first, second]}:
            branches = [resolve(each, parameters) for each in (first, second)]
            there = [branch for branch in branches if branch is not None]
            if there and all(_is_number(branch) for branch in there):
                return max(there, key=lambda each: Decimal(str(each)))
            return there[0] if there else None
        case _:
            return value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return Decimal(str(value)).is_finite()
    except ArithmeticError:
        return False


def mentions(value: Any, logical_id: str) -> bool:
    """Return whether a value refers to a resource of its own template, at any depth."""
    match value:
        case {"Ref": str(name)}:
            return name == logical_id
        case {"Fn::GetAtt": [str(name), *_]}:
            return name == logical_id
        case Mapping():
            return any(mentions(each, logical_id) for each in value.values())
        case list():
            return any(mentions(each, logical_id) for each in value)
        case _:
            return False


class EnvironmentResources:
    """All resources of an environment."""

    def __init__(self, stacks: Iterable[Stack]) -> None:
        self._all = [resource for stack in stacks for resource in _resources(stack)]

    def __iter__(self) -> Iterator[Resource]:
        """Iterate over the resources, stack by stack."""
        return iter(self._all)

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of these types."""
        return [resource for resource in self._all if resource.type in types]

    def referred(self, resource: Resource, *path: str, kind: str) -> Resource:
        """Return the resource of type `kind` to which the property at `path` refers.

        Raises:
            UnpricedResource: it is not in the same template.
        """
        value = resource.value(*path)
        for other in self.of(kind):
            if other.stack == resource.stack and mentions(value, other.logical_id):
                return other
        raise resource.unpriced(f"{'.'.join(path)} names no {kind} of the same stack: {value!r}")


def _resources(stack: Stack) -> Iterator[Resource]:
    parameters = {
        name: parameter["Default"]
        for name, parameter in stack.template.get("Parameters", {}).items()
        if "Default" in parameter
    }
    parameters["AWS::StackName"] = stack.name
    if stack.region:
        parameters["AWS::Region"] = stack.region
    for logical_id, resource in stack.template.get("Resources", {}).items():
        yield Resource(
            stack=stack.name,
            logical_id=logical_id,
            type=resource["Type"],
            properties=resource.get("Properties", {}),
            parameters=parameters,
        )


def read(folder: Path) -> list[Stack]:
    """Return the stacks of an assembly, as `cdk synth` writes it to a folder.

    Raises:
        NotAnAssembly: the folder does not hold one.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        return [
            Stack(
                name=artifact.get("displayName", name),
                environment=artifact["properties"].get("tags", {}).get(ENVIRONMENT_TAG),
                region=_region(artifact.get("environment", "")),
                template=json.loads((folder / artifact["properties"]["templateFile"]).read_bytes()),
            )
            for name, artifact in manifest["artifacts"].items()
            if artifact["type"] == "aws:cloudformation:stack"
        ]
    except OSError as error:
        name = Path(error.filename or folder).name
        raise NotAnAssembly(
            f"{folder} is not what `cdk synth` writes: {name}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAnAssembly(
            f"{folder} is not what `cdk synth` writes: its JSON is broken, or not the CDK's"
        ) from error


def _region(environment: str) -> str | None:
    """Return the region of `aws://ACCOUNT/REGION`."""
    region = environment.rpartition("/")[2]
    return region if region and region != "unknown-region" else None
