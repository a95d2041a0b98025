"""The embedded engine: Moonshine's tiny English model, from the package `moonshine-voice`.

It needs no account, no download and no GPU. Captions have punctuation and capitals.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from speech.engines.base import Capabilities, Policy
from speech.engines.blocking import DETECTOR_LEAD_IN, ModelSpec
from speech.engines.errors import EngineUnavailable
from speech.engines.moonshine.files import find_model
from speech.engines.workers import WorkerEngine

#: Concurrent streams per core; each takes 0.16 of one.
STREAMS_PER_CORE: Final = 5


class MoonshineSettings(BaseModel):
    """The settings of the engine."""

    moonshine_model: Annotated[
        str | None,
        Field(description="folder of another Moonshine model; default: the packaged tiny-en"),
    ] = None

    @field_validator("moonshine_model")
    @classmethod
    def _check_model(cls, folder: str | None) -> str | None:
        if folder is not None:
            try:
                find_model(folder)
            except EngineUnavailable as error:
                raise ValueError(str(error)) from error
        return folder


class MoonshineEngine(WorkerEngine):
    """Recognises English.

    Args:
        slots: the most streams at once.
        folder: of another model's files; by default, of the installed package.
        spare: idle workers kept ready.
        niceness: added to the scheduling priority of workers.
        partial_interval: seconds of audio between two partials, at least.
        policy: the limits of its recognitions.

    Raises:
        EngineUnavailable: the model is not installed, or not in `folder`.
    """

    note = "English only, recognised on this server by a small model"

    def __init__(
        self,
        *,
        slots: int,
        folder: str | None = None,
        spare: int = 2,
        niceness: int = 5,
        partial_interval: float = 0.5,
        policy: Policy | None = None,
    ) -> None:
        find_model(folder)
        super().__init__(
            "moonshine",
            ModelSpec(
                "speech.engines.moonshine.recogniser:load",
                {"folder": folder, "partial_interval": partial_interval},
            ),
            slots=slots,
            capabilities=Capabilities(languages=frozenset({"en-US"}), stable_words=True),
            policy=policy,
            spare=spare,
            niceness=niceness,
            lead_in=DETECTOR_LEAD_IN,
        )
