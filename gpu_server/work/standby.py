"""A standby process with a loaded model, which replaces a slot's process that dies.

Loading a model makes all jobs wait. So after a recording has killed a process, another one is kept
ready, but only if the model is light: a second large model could leave the first too little memory.
A server whose processes do not die has no standby.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import TranscriberUnavailable
from speech.transcribers.messages import Loaded

log = structlog.get_logger(__name__)


class SlotProcess(Protocol):
    """A process with a model, which a slot gives its jobs to.

    `speech.transcribers.process.TranscriberProcess` is one.
    """

    gone: asyncio.Event

    async def start(self) -> Loaded:
        """Start the process and load the model; return its description.

        Raises:
            TranscriberUnavailable: the model cannot be loaded.
            OSError: the process cannot be started.
        """

    async def transcribe(self, path: Path, options: TranscriptionOptions) -> Transcription:
        """Transcribe a file.

        Raises:
            TranscriberError: the transcription failed.
        """

    async def stop(self) -> None:
        """End the process."""


class Standby:
    """See the module.

    Args:
        make: creates a process without starting it.
    """

    def __init__(self, make: Callable[[], SlotProcess]) -> None:
        self._make = make
        self._process: SlotProcess | None = None
        self._loading: asyncio.Task[Loaded | None] | None = None

    def prepare(self) -> None:
        """Start to load a model, unless a standby exists or is being loaded."""
        if self._process is None:
            self._load(self._make())

    def exchange(self, dead: SlotProcess) -> tuple[SlotProcess, Loaded] | None:
        """Return the standby and reload `dead` as the next one; None if no standby is ready."""
        process, loading = self._process, self._loading
        if process is None or loading is None or not loading.done():
            return None
        loaded = loading.result()
        if loaded is None or process.gone.is_set():
            self._load(process)
            return None
        self._load(dead)
        return process, loaded

    async def close(self) -> None:
        """Stop loading. The owner of the processes stops them."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    def _load(self, process: SlotProcess) -> None:
        self._process = process
        self._loading = asyncio.create_task(_loaded(process))


async def _loaded(process: SlotProcess) -> Loaded | None:
    """Return the loaded model; None if loading fails, which the next slot that needs it reports."""
    try:
        return await process.start()
    except (TranscriberUnavailable, OSError) as error:
        log.warning("standby_not_loaded", error=str(error))
        return None
