"""The CDK's command line, as a child process that can reach the emulator and nothing else.

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
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_cloud import logs
from local_cloud.emulator.process import EmulatorError

#: Runs a program that ends with this one, however this one ends.
GUARD: Final = Path(__file__).parents[1] / "end_with_parent.py"
#: What the command line gets between SIGTERM and SIGKILL, seconds. Nothing depends on it.
GRACE_SECONDS: Final = 2
#: How often a command that takes long says that it is still at work, seconds.
HEARTBEAT: Final = 5.0
#: No command takes so long, seconds; one that does waits for something that never comes.
PATIENCE: Final = 300.0
#: Lines of the log that an error quotes.
LAST_LINES: Final = 12

#: Settings of the command line and of what it starts. It looks for no newer version of itself,
#: and reports nothing to anybody.
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
    """How the CDK's command line is run."""

    #: The tree with `cdk.json`.
    root: Path
    #: Where it keeps what it knows of accounts; one for each emulator, for all have the same.
    home: Path
    log: Path
    #: Whose AWS is the emulator.
    environment: Mapping[str, str]
    say: Callable[[str], None]

    async def run(self, purpose: str, *arguments: str) -> None:
        """Run one command to its end; being cancelled ends it.

        Args:
            purpose: what it does, for people who wait.
            arguments: of `cdk`.

        Raises:
            CommandFailed: it is not installed, failed or hung.
        """
        program = self.root / "node_modules" / ".bin" / "cdk"
        if not program.exists():
            raise CommandFailed("the CDK's command line is missing; `make demo` installs it")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"$ cdk {' '.join(arguments)}\n".encode())
            log.flush()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(GUARD), str(GRACE_SECONDS)),
                *(str(program), *arguments, "--no-notices"),
                cwd=self.root,
                env=self._environment(),
                stdin=asyncio.subprocess.PIPE,  # the guard's: it closes when we die
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(PATIENCE), self._heartbeat(purpose):
                status = await process.wait()
        except TimeoutError:
            raise CommandFailed(
                f"{purpose} was given up after {PATIENCE:g} seconds.{self._last_lines()}"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if status:
            raise CommandFailed(f"{purpose} failed.{self._last_lines()}")

    def _environment(self) -> dict[str, str]:
        """Return its environment, without what would change how it or Python behaves.

        Nothing it does needs a network, so it gets no proxy either.
        """
        kept = {
            name: value
            for name, value in self.environment.items()
            if not name.startswith(("CDK_", "PYTHON")) and not name.lower().endswith("_proxy")
        }
        # `cdk.json` starts the app with the interpreter that it finds, which is to be this one.
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        return {**kept, **SETTINGS, "CDK_HOME": str(self.home), "PATH": path}

    @contextlib.asynccontextmanager
    async def _heartbeat(self, purpose: str) -> AsyncIterator[None]:
        began = time.monotonic()

        async def beat() -> None:
            while True:
                await asyncio.sleep(HEARTBEAT)
                self.say(f"  ... {purpose}, {time.monotonic() - began:.0f} s")

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()

    def _last_lines(self) -> str:
        lines = "".join(f"\n    {line}" for line in logs.last_lines(self.log, LAST_LINES))
        return f" The end of {self.log}:{lines}" if lines else ""
