"""A model that is loaded and waits, to take the place of one whose process dies.

Everybody waits while a model is loaded. So once a recording has killed a process, another one is
kept ready, where the model is light: a second large one might leave the first no memory. Servers
to which no process dies pay nothing.
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


class Transcribing(Protocol):
    """A slot's process; see `TranscriberProcess`."""

    gone: asyncio.Event

    async def start(self) -> Loaded:
        """Load the model."""

    async def transcribe(self, path: Path, options: TranscriptionOptions) -> Transcription:
        """Transcribe a file."""

    async def stop(self) -> None:
        """End it."""


class Standby:
    """See the module.

    Args:
        make: makes a process that is not started.
    """

    def __init__(self, make: Callable[[], Transcribing]) -> None:
        self._make = make
        self._process: Transcribing | None = None
        self._loading: asyncio.Task[Loaded | None] | None = None

    def prepare(self) -> None:
        """Begin to load a model, unless there is one or it is being loaded."""
        if self._process is None:
            self._load(self._make())

    def exchange(self, dead: Transcribing) -> tuple[Transcribing, Loaded] | None:
        """Return the process that waits, and load `dead` in its place; None if none is ready."""
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
        """Load no more. Whoever made the processes ends them."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    def _load(self, process: Transcribing) -> None:
        self._process = process
        self._loading = asyncio.create_task(_loaded(process))


async def _loaded(process: Transcribing) -> Loaded | None:
    """Return what is loaded; None if that fails, of which the next who needs it learns more."""
    try:
        return await process.start()
    except (TranscriberUnavailable, OSError) as error:
        log.warning("standby_not_loaded", error=str(error))
        return None
