"""The cloud of one machine: the emulator of AWS, the edge, and the launcher behind `make demo`.

emulator/       the emulator's process, and the program that runs in it
stacks/         the CDK's stacks in the emulator
edge/           CloudFront's stand-in
launcher/       the demo: its settings, its parts, and what keeps them running
preflight       the checks before anything is installed
shell           the settings of the running demo, for a shell
"""

from pathlib import Path
from typing import Final

#: The root of the tree.
ROOT: Final = Path(__file__).resolve().parents[1]
