"""Makes the templates for the first deployment of `make demo`, as a step of the set-up.

    python -m local_cloud.launcher.first_templates

It runs while Node's packages are installed. Later templates are made by the deployment itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from foundation.json_files import WrongFile
from local_cloud import ROOT
from local_cloud.launcher.data_folder import data_folder
from local_cloud.stacks import templates


def main() -> int:
    """Make the templates of the demo that starts after this; return the exit code."""
    sources = templates.fingerprint_stacks()
    assembly = templates.assembly_folder(data_folder(os.environ) / "aws")
    shutil.rmtree(assembly, ignore_errors=True)
    try:
        environment = templates.app_environment(os.environ, ROOT, assembly)
    except WrongFile as error:
        sys.stderr.write(f"{error}\n")
        return 1
    made = subprocess.run(templates.COMMAND, cwd=ROOT, env=environment, check=False)  # noqa: S603 - our own app
    if made.returncode == 0:
        templates.mark_made(assembly, sources)
    return made.returncode


if __name__ == "__main__":
    sys.exit(main())
