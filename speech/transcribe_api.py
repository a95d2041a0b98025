"""How a request of Amazon Transcribe's streaming API is described, and when a value breaks that.

`transcribe_values.py` holds the descriptions themselves, made from Amazon's own SDK. Both modules
need the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a request, by itself."""

    #: Its name in Amazon's model, e.g. `MediaSampleRateHertz`.
    member: str
    kind: Literal["text", "number", "truth"] = "text"
    required: bool = False
    #: What it may be; any value that the rest allows where this is empty.
    values: tuple[str, ...] = ()
    #: Whether it holds several values, with commas between them.
    several: bool = False
    #: Of a number, both included.
    least: int = 0
    most: int = 0
    #: What all of a text matches, and how many characters it has at most.
    pattern: str = ""
    longest: int = 0

    def violated(self, value: str) -> str:
        """Return the constraint that `value` breaks, in the words of AWS's validation; else ""."""
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
        """Return the values that `value` holds; what is empty between commas is one, too."""
        return tuple(one.strip(" ") for one in value.split(",")) if self.several else (value,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A way to begin a stream."""

    #: Of the HTTP/2 API.
    path: str
    #: By their names in a WebSocket's query; as headers these begin with `x-amzn-transcribe-`.
    parameters: Mapping[str, Parameter]
    #: The members of a result, and of the items and entities in it.
    result: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    entity: tuple[str, ...] = ()

    @property
    def websocket_path(self) -> str:
        """The path of the WebSocket API."""
        return f"{self.path}-websocket"
