"""What an operator sets of the engine: environment variables of the service."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from speech.engines.errors import EngineError
from speech.engines.transcribe.operators import check
from speech.engines.transcribe.options import AllowedOptions
from speech.engines.transcribe.pace import STARTS_PER_SECOND


class TranscribeSettings(BaseModel):
    """The settings of the engine."""

    transcribe_region: Annotated[
        str | None, Field(description="region of Amazon Transcribe; default: that of the AWS SDKs")
    ] = None
    transcribe_endpoint: Annotated[
        str | None,
        Field(description="base URL instead of the region's: a VPC endpoint, or a local one"),
    ] = None
    transcribe_options: Annotated[
        dict[str, str],
        Field(description="options of every stream by Transcribe's names, as JSON"),
    ] = {}
    transcribe_allowed: Annotated[
        AllowedOptions,
        Field(
            description="options that speakers may set, as JSON with these keys "
            "(docs/deploy.md); default: the language only"
        ),
    ] = AllowedOptions()
    transcribe_starts_per_second: Annotated[
        float, Field(gt=0, description="streams started a second; this process's part of the quota")
    ] = STARTS_PER_SECOND

    @field_validator("transcribe_options")
    @classmethod
    def _check_options(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            check(defaults=value, allowed=AllowedOptions())
        except EngineError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        try:
            check(defaults=self.transcribe_options, allowed=self.transcribe_allowed)
        except EngineError as error:
            names = "TRANSCRIBE_OPTIONS and TRANSCRIBE_ALLOWED"
            raise ValueError(f"{names} do not go together: {error}") from error
        return self
