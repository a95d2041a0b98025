"""Descriptions of requests of Amazon Transcribe's streaming API, and the validation of values.

`transcribe_values.py` has the descriptions themselves, generated from Amazon's SDK. Both modules
need the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a request."""

    #: Its name in Amazon's model, e.g. `MediaSampleRateHertz`.
    member: str
    kind: Literal["text", "number", "truth"] = "text"
    required: bool = False
    #: The allowed values; empty where the other constraints decide.
    values: tuple[str, ...] = ()
    #: Whether it is a list of values with commas between them.
    several: bool = False
    #: The bounds of a number, both inclusive.
    least: int = 0
    most: int = 0
    #: The pattern of a whole text, and its most characters.
    pattern: str = ""
    longest: int = 0

    def violated(self, value: str) -> str:
        """Return the constraint that `value` violates in the words of AWS's validation, or ""."""
        if self.kind == "truth":
            return "" if value.lower() in {"true", "false"} else "Member must be true or false"
        if self.kind == "number":
            within = re.fullmatch("[0-9]{1,9}", value) and self.least <= int(value) <= self.most
            problem = f"Member must be between {self.least} and {self.most}, inclusive"
            return "" if within else problem
        return self._text_violated(value)

    def _text_violated(self, value: str) -> str:
        if self.longest and len(value) > self.longest:
            return f"Member must have length less than or equal to {self.longest}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"Member must satisfy regular expression pattern: {self.pattern}"
        if self.values and not set(self.split(value)) <= set(self.values):
            return f"Member must satisfy enum value set: [{', '.join(self.values)}]"
        return ""

    def split(self, value: str) -> tuple[str, ...]:
        """Return the values in `value`, also empty ones between commas."""
        return tuple(one.strip(" ") for one in value.split(",")) if self.several else (value,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that starts a stream."""

    #: The path of the HTTP/2 API.
    path: str
    #: By their names in a WebSocket's query; as headers these begin with `x-amzn-transcribe-`.
    parameters: Mapping[str, Parameter]
    #: The members of a result, and of the items and entities in it.
    result: tuple[str, ...]
    item: tuple[str, ...]
    entity: tuple[str, ...]

    @property
    def websocket_path(self) -> str:
        """The path of the WebSocket API."""
        return f"{self.path}-websocket"
