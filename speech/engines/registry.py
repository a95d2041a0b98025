"""All engines: how each is made from its settings, and how many streams it takes.

A new engine gets a name in `names.py`, a module or folder beside this one, its settings among the
bases of `EngineSettings`, and an entry in `ENGINES`. Nothing else depends on which engines exist:
what one can do is in its `capabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import boto3
from pydantic import BaseModel

from speech.engines import pocketsphinx, scripted, transcribe
from speech.engines.base import Engine
from speech.engines.moonshine import engine as moonshine
from speech.engines.names import EngineName
from speech.engines.transcribe.settings import STREAMS, TranscribeSettings


class EngineSettings(TranscribeSettings, scripted.ScriptedSettings, moonshine.MoonshineSettings):
    """The settings of all engines; each field's variable is its name in capitals."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine of those that can be chosen."""

    #: Makes the engine for so many streams at a time.
    #:
    #: Raises ValueError where its settings contradict each other or are incomplete, and
    #: EngineUnavailable where something is not installed.
    create: Callable[[EngineSettings, int], Engine]
    #: Returns the default limit of streams on a machine with so many cores.
    count_streams: Callable[[int], int]
    #: See `Engine.note`.
    note: str
    #: The settings that it reads, of `EngineSettings`.
    settings: type[BaseModel] = BaseModel


def _create_transcribe(settings: EngineSettings, _slots: int) -> Engine:
    region = settings.transcribe_region or boto3.Session().region_name
    if region is None:
        raise ValueError("TRANSCRIBE_REGION is missing, and the AWS SDKs have none either")
    return transcribe.TranscribeEngine(
        region=region,
        endpoint=settings.transcribe_endpoint,
        allowed=settings.transcribe_allowed,
        defaults=settings.transcribe_options,
        starts_per_second=settings.transcribe_starts_per_second,
    )


ENGINES: Final[Mapping[EngineName, EngineKind]] = {
    "moonshine": EngineKind(
        lambda settings, slots: moonshine.MoonshineEngine(
            slots=slots, folder=settings.moonshine_model
        ),
        lambda cores: moonshine.STREAMS_PER_CORE * cores,
        moonshine.MoonshineEngine.note,
        moonshine.MoonshineSettings,
    ),
    "pocketsphinx": EngineKind(
        lambda _settings, slots: pocketsphinx.PocketsphinxEngine(slots=slots),
        lambda cores: pocketsphinx.STREAMS_PER_CORE * cores,
        pocketsphinx.PocketsphinxEngine.note,
    ),
    "scripted": EngineKind(
        lambda settings, _slots: scripted.ScriptedEngine(settings.scripted),
        lambda _cores: scripted.STREAMS,
        scripted.ScriptedEngine.note,
        scripted.ScriptedSettings,
    ),
    "transcribe": EngineKind(
        _create_transcribe,
        lambda _cores: STREAMS,
        transcribe.TranscribeEngine.note,
        TranscribeSettings,
    ),
}
