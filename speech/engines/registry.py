"""All engines: how each is made from its settings, and how many streams it takes.

A new engine gets a name in `names.py`, a module or folder beside this one, its settings among the
bases of `EngineSettings`, and an entry in `ENGINES`. Nothing else depends on which engines exist:
what one can do is in its `capabilities`. An engine whose options an environment in AWS chooses also
needs a part in `infra/config/recognition.py`. An engine is imported when it is made, because
programs that only read settings would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from speech.engines.base import Engine
from speech.engines.moonshine.settings import MoonshineSettings
from speech.engines.names import STREAMS_PER_CORE, EngineName
from speech.engines.scripted import ScriptedEngine, ScriptedSettings
from speech.engines.transcribe.settings import TranscribeSettings


class EngineSettings(TranscribeSettings, ScriptedSettings, MoonshineSettings):
    """The settings of all engines; each field's variable is its name in capitals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """One engine of those that can be chosen."""

    #: Makes the engine for so many streams at a time.
    #:
    #: Raises ValueError where its settings contradict each other or are incomplete, and
    #: EngineUnavailable where something is not installed.
    create: Callable[[EngineSettings, int], Engine]
    #: Returns the default limit of streams on a machine with so many cores.
    count_streams: Callable[[int], int]
    #: What users should know of its results; a sentence without a full stop, or empty.
    note: str = ""
    #: The settings that it reads, of `EngineSettings`.
    settings: type[BaseModel] = BaseModel


def _create_moonshine(settings: EngineSettings, slots: int) -> Engine:
    from speech.engines.moonshine.engine import MoonshineEngine  # noqa: PLC0415 - see above

    return MoonshineEngine(slots=slots, folder=settings.moonshine_model)


def _create_pocketsphinx(_settings: EngineSettings, slots: int) -> Engine:
    from speech.engines.pocketsphinx import PocketsphinxEngine  # noqa: PLC0415 - see above

    return PocketsphinxEngine(slots=slots)


def _create_transcribe(settings: EngineSettings, _slots: int) -> Engine:
    import boto3  # noqa: PLC0415 - see above

    from speech.engines.transcribe.engine import TranscribeEngine  # noqa: PLC0415 - see above

    region = settings.transcribe_region or boto3.Session().region_name
    if region is None:
        raise ValueError("TRANSCRIBE_REGION is missing, and the AWS SDKs have none either")
    return TranscribeEngine(
        region=region,
        endpoint=settings.transcribe_endpoint,
        allowed=settings.transcribe_allowed,
        defaults=settings.transcribe_options,
        starts_per_second=settings.transcribe_starts_per_second,
    )


ENGINES: Final[Mapping[EngineName, EngineKind]] = {
    "moonshine": EngineKind(
        create=_create_moonshine,
        count_streams=lambda cores: STREAMS_PER_CORE["moonshine"] * cores,
        note="English only, recognised on this server by a small model",
        settings=MoonshineSettings,
    ),
    "pocketsphinx": EngineKind(
        create=_create_pocketsphinx,
        count_streams=lambda cores: STREAMS_PER_CORE["pocketsphinx"] * cores,
        note="Demo engine: US English, no punctuation, every third word wrong",
    ),
    "scripted": EngineKind(
        create=lambda settings, _slots: ScriptedEngine(settings.scripted),
        count_streams=lambda _cores: 1_000,  # it costs next to nothing; every engine has a limit
        note="A stand-in that recognises nothing: its words come from a script",
        settings=ScriptedSettings,
    ),
    "transcribe": EngineKind(
        create=_create_transcribe,
        # An AWS account's default quota of concurrent streams over WebSocket.
        count_streams=lambda _cores: 25,
        settings=TranscribeSettings,
    ),
}


def list_unread_settings(engine: str) -> frozenset[str]:
    """Return the fields of `EngineSettings` that only other engines read."""
    read = {
        field
        for name, kind in ENGINES.items()
        if name == engine
        for field in kind.settings.model_fields
    }
    return frozenset(EngineSettings.model_fields.keys() - read)
