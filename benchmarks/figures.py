"""The arithmetic of the benchmarks: quantiles, word latencies and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Row = TypeVar("Row")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed.

    The nearest-rank definition: always a value that was measured. NaN without values.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest of some times, in milliseconds."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(quantile(seconds, share) * 1000, 2) for name, share in shares.items()}


def frame_of(end_time: float, frame_seconds: float) -> int:
    """Return the number (from 0) of the frame in which a word that ends at `end_time` ends."""
    # A word that ends where a frame does ends in it, whatever the last bit of the float is.
    return max(0, math.ceil(end_time / frame_seconds - 1e-6) - 1)


@dataclass(slots=True)
class WordArrivals:
    """When each word first arrived at one viewer. Times are seconds."""

    #: End of each new word, and the moment at which the first message with it came.
    words: list[tuple[float, float]] = field(default_factory=list)
    messages: int = 0
    #: Messages that came again or out of order.
    repeated: int = 0
    #: Messages that never came, by their numbers.
    missing: int = 0
    _seq: int | None = None
    _received_until: float = 0.0

    def add(self, text: str | bytes, now: float) -> None:
        """Add a message of the live protocol."""
        message = json.loads(text)
        if message["type"] not in {"partial", "final"}:
            return
        self.messages += 1
        seq: int = message["seq"]
        if self._seq is not None:
            self.repeated += seq <= self._seq
            self.missing += max(0, seq - self._seq - 1)
        self._seq = max(seq, self._seq or 0)
        for word in reversed(message["words"]):
            end: float = word["endTime"]
            if end <= self._received_until + 1e-9:
                break
            self.words.append((end, now))
        if message["words"]:
            self._received_until = max(self._received_until, message["words"][-1]["endTime"])


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a markdown table; numbers stand right of their columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(heads), *cells]) for i in range(len(heads))]
    line = "| {} |".format
    aligned = [" | ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    head = " | ".join(text.rjust(w) for text, w in zip(heads, widths, strict=True))
    rule = "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|"
    return "\n".join([line(head), rule, *map(line, aligned)])


def table_of(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], object]]) -> str:
    """Return a markdown table of `rows`, with the value of each by the column's head."""
    return table([*columns], [[value(row) for value in columns.values()] for row in rows])


def format_target(text: str, *, is_kept: bool) -> str:
    """Return the line below a table that states whether a target is met."""
    return f"- {'kept' if is_kept else 'MISSED'}: {text}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        # Three digits are significant; the rest is noise.
        return "-" if math.isnan(value) else f"{value:.{1 if abs(value) >= 10 else 2}f}"
    return str(value)
