"""What an operator sets of the engine: environment variables of the service."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from speech.engines.errors import EngineUnavailable
from speech.engines.moonshine.files import find_model


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
