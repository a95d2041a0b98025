"""The CDK's app and command line, run as child processes that reach the emulator and nothing else.

EmulatorError
└── CommandFailed    it cannot be started, or it failed; the message ends with its last lines
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foundation.json_files import WrongFile
from local_cloud.emulator.process import EmulatorError
from local_cloud.logs import quote_end
from local_cloud.stacks import templates

#: Runs a program that ends with this process, however this one ends.
END_WITH_PARENT: Final = Path(__file__).parents[1] / "end_with_parent.py"
#: Time between SIGTERM and SIGKILL for the command line, seconds. Nothing depends on it.
GRACE_SECONDS: Final = 2
#: How often a line of progress is printed for a command that takes long, seconds.
PROGRESS_SECONDS: Final = 5.0
#: Limit for a command, seconds; one that takes longer hangs.
TIMEOUT: Final = 300.0
#: Lines of the log that an error quotes.
LAST_LINES: Final = 12

#: An error, where `node_modules` lacks the command line.
MISSING: Final = "the CDK's command line is missing; `make demo` installs it"

#: Settings of the command line and of its children: no look for a newer version, no telemetry.
SETTINGS: Final[Mapping[str, str]] = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "true",
    "NODE_NO_WARNINGS": "1",
    "NO_COLOR": "1",
}


class CommandFailed(EmulatorError):
    """A command of the CDK failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Runs the CDK's command line, and its app without it."""

    #: The tree with `cdk.json`.
    root: Path
    #: Where it caches facts about accounts; one for each emulator, whose accounts have one number.
    home: Path
    log: Path
    #: The environment of a process whose AWS is the emulator.
    environment: Mapping[str, str]
    #: Prints a line of progress.
    show: Callable[[str], None]

    @property
    def bootstrap_template(self) -> Path:
        """The template with what the CDK needs in an account before it deploys there."""
        return self._package / "lib" / "api" / "bootstrap" / "bootstrap-template.yaml"

    @property
    def _package(self) -> Path:
        return self.root / "node_modules" / "aws-cdk"

    async def run(self, purpose: str, *arguments: str) -> None:
        """Run one command to its end; being cancelled ends it.

        Args:
            purpose: what it does, for the lines of progress.
            arguments: of `cdk`.

        Raises:
            CommandFailed: it is not installed, failed or hung.
        """
        program = self.root / "node_modules" / ".bin" / "cdk"
        if not program.exists():
            raise CommandFailed(MISSING)
        await self._run(purpose, [str(program), *arguments, "--no-notices"], self._environment())

    async def synthesise(self, assembly: Path) -> None:
        """Let the app write its templates to a folder; being cancelled ends it.

        Raises:
            CommandFailed: it failed or hung.
        """
        try:
            environment = templates.app_environment(self._environment(), self.root, assembly)
        except WrongFile as error:
            raise CommandFailed(str(error)) from error
        await self._run("making the templates", templates.COMMAND, environment)

    async def _run(
        self, purpose: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(END_WITH_PARENT), str(GRACE_SECONDS)),
                *command,
                cwd=self.root,
                env=environment,
                stdin=asyncio.subprocess.PIPE,  # closes when this process ends
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(TIMEOUT), self._show_progress(purpose):
                status = await process.wait()
        except TimeoutError:
            raise CommandFailed(
                f"{purpose} was given up after {TIMEOUT:g} seconds."
                f"{quote_end(self.log, LAST_LINES)}"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if status:
            raise CommandFailed(f"{purpose} failed.{quote_end(self.log, LAST_LINES)}")

    def _environment(self) -> dict[str, str]:
        """Return its environment, without variables that change how it or Python behaves.

        It needs no network, so it gets no proxy either.
        """
        kept = {
            name: value
            for name, value in self.environment.items()
            if not name.startswith(("CDK_", "PYTHON")) and not name.lower().endswith("_proxy")
        }
        # `cdk.json` starts the app with the first Python in the path, which is to be this one.
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        return {**kept, **SETTINGS, "CDK_HOME": str(self.home), "PATH": path}

    @contextlib.asynccontextmanager
    async def _show_progress(self, purpose: str) -> AsyncIterator[None]:
        began = time.monotonic()

        async def show_progress() -> None:
            while True:
                await asyncio.sleep(PROGRESS_SECONDS)
                self.show(f"  ... {purpose}, {time.monotonic() - began:.0f} s")

        showing = asyncio.create_task(show_progress())
        try:
            yield
        finally:
            showing.cancel()
