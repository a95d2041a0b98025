"""All fuzzers, one after the other: `python -m tests.fuzz [FACTOR]`, or `make fuzz`.

With factor 1 these are 10,000 files, 200,000 frames, 20,000 events for each function, and 20
environments for each choice between their parts.
"""

from __future__ import annotations

import subprocess
import sys

COUNTS = {"files": 10_000, "events": 20_000, "frames": 200_000, "environments": 10}


def main() -> int:
    """Run them, also the others when one finds something."""
    factor = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    ends = [
        subprocess.run(
            [sys.executable, "-m", f"tests.fuzz.{name}", "--count", str(round(count * factor))],
            check=False,
        ).returncode
        for name, count in COUNTS.items()
    ]
    return int(any(ends))  # one that was killed has a negative code


if __name__ == "__main__":
    sys.exit(main())
