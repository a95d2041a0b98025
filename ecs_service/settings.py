"""The service's settings: environment variables, parsed once at start.

The settings of engines that are not chosen are not parsed. Nothing reads them, so a wrong value, or
a folder that is not on this machine, does not stop the service.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from foundation.origins import LOOPBACK_NAMES
from speech.engines.embedded import choose_embedded
from speech.engines.names import EngineName
from speech.engines.registry import ENGINES, EngineSettings, list_unread_settings
from transcripts.models import InWords, Language
from translation.languages import to_codes
from translation.names import TranslatorName

#: At 31 kB each, viewers take 124 MB of the smallest task's 512 MiB (537 MB). Unread messages of
#: slow ones take up to 67 MB (`MAX_UNREAD_MIB`) and 33 MB (8 KiB each that are not counted), the
#: service itself 80 MB, pending connections 8 MB, a stream 0.25 MB. The rest is for the engine.
VIEWERS = 4_000


class _Environment(EnvSettingsSource):
    """The environment without the settings of engines that are not chosen."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a variable's value, `None` for a setting that the chosen engine does not read."""
        chosen = self.current_state.get("engine") or self.env_vars.get("engine")
        if field_name in list_unread_settings(chosen or choose_embedded()):
            return None, field_name, False
        return super().get_field_value(field, field_name)


class Settings(EngineSettings, BaseSettings):
    """The settings; each field is read from the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", allow_inf_nan=False
    )

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="0 picks a free one")] = 8081
    engine: Annotated[
        EngineName,
        Field(
            default_factory=choose_embedded,
            description="speech engine; default: moonshine, or pocketsphinx where "
            "moonshine is not installed",
        ),
    ]
    engine_note: Annotated[
        str | None,
        Field(
            pattern=r"^\P{Cc}{1,300}$",
            description="what users should know of the results, for the page and the client; "
            "default: as the engine",
        ),
        InWords("1 to 300 characters without control characters"),
    ] = None
    slots: Annotated[
        int | None, Field(ge=1, le=10_000, description="streams at a time; default: as the engine")
    ] = None
    max_viewers: Annotated[
        int, Field(ge=1, le=1_000_000, description="viewers at a time; each takes about 30 kB")
    ] = VIEWERS
    max_viewers_per_conversation: Annotated[
        int | None, Field(ge=1, description="viewers of one conversation; default: half")
    ] = None
    max_unread_mib: Annotated[
        int, Field(ge=1, description="memory for messages that viewers have not read, MiB")
    ] = 64
    viewer_address_header: Annotated[
        str | None,
        Field(
            pattern="^[A-Za-z0-9-]+$",
            description="header with the client's address, if only a proxy can connect; "
            "default: the socket's address counts",
        ),
        InWords("the name of a header: letters, digits and `-`"),
    ] = None
    edge_secret: Annotated[
        SecretStr | None,
        Field(
            min_length=32,
            description="secret that every request has to carry in the header "
            "X-Cloudscribe-Edge; default: none",
        ),
    ] = None
    connects_at_once: Annotated[
        int, Field(ge=1, description="burst of connections from one address")
    ] = 1_000
    connects_per_second: Annotated[
        float, Field(gt=0, description="connections per second and address, on average")
    ] = 20.0
    failures_at_once: Annotated[
        int, Field(ge=1, description="burst of refusals, after which an address gets 429")
    ] = 100
    failures_per_second: Annotated[
        float, Field(gt=0, description="refusals per second and address, on average")
    ] = 2.0
    max_stream_seconds: Annotated[
        float | None, Field(gt=0, description="end a stream after so much audio, seconds")
    ] = None
    translator: Annotated[
        TranslatorName,
        Field(description="translator; `pseudo` is a stand-in that only marks texts"),
    ] = "none"
    translate_region: Annotated[
        str | None, Field(description="region of Amazon Translate; default: that of the AWS SDKs")
    ] = None
    translate_languages: Annotated[
        tuple[Language, ...],
        NoDecode,
        Field(description="languages to translate into, separated by commas; default: all"),
    ] = ()
    translate_source: Annotated[
        Literal["recognised", "auto"],
        Field(
            description="source language: as recognised, or `auto`: detected in each text by "
            "Amazon Comprehend, which costs extra"
        ),
    ] = "recognised"
    translate_terminology: Annotated[
        str | None, Field(description="name of a custom terminology of Amazon Translate")
    ] = None
    queue_url: Annotated[
        str | None, Field(description="URL of the SQS queue for finals; default: store none")
    ] = None
    table_name: Annotated[
        str | None, Field(description="DynamoDB table from which snapshots are read")
    ] = None
    access_table: Annotated[
        str | None,
        Field(
            description="DynamoDB table of rights: sockets need a ticket; default: everybody who "
            "reaches the service may do everything"
        ),
    ] = None
    streams_table: Annotated[
        str | None,
        Field(description="DynamoDB table of live streams; default: no stream can be resumed"),
    ] = None
    outbox_path: Annotated[
        Path | None,
        Field(description="file that keeps finals until the table has them; default: memory"),
    ] = None
    confirm_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="interval of checks whether the table has a final, seconds",
        ),
    ] = 15.0
    updates_seconds: Annotated[
        float,
        Field(ge=0.5, le=3600, description="interval of reading watched conversations, seconds"),
    ] = 5.0
    drain_seconds: Annotated[
        float,
        Field(gt=0, le=86_400, description="time to finish streams after SIGTERM, seconds"),
    ] = 25.0
    allowed_origins: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="web origins besides the service's own, separated by commas"),
    ] = ()
    metrics_namespace: Annotated[
        str | None,
        Field(
            pattern="^[A-Za-z0-9_./#:-]+$",  # as CloudWatch has it
            max_length=255,
            description="namespace of CloudWatch metrics on stdout; default: none",
        ),
        InWords("1 to 255 letters, digits and `_./#:-`"),
    ] = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - `_Environment` replaces it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there is no such file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nor such files
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the constructor's arguments before the environment."""
        return init_settings, _Environment(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("allowed_origins", "translate_languages"):
            value = values.get(name)
            if isinstance(value, str):
                values[name] = tuple(one.strip() for one in value.split(",") if one.strip())
        return values

    @field_validator("translate_languages")
    @classmethod
    def _check_translate_languages(cls, value: tuple[Language, ...]) -> tuple[Language, ...]:
        to_codes(value)
        return value

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        if (self.queue_url is None) != (self.table_name is None):
            raise ValueError("QUEUE_URL and TABLE_NAME belong together: give both or neither")
        if self.streams_table is not None and self.table_name is None:
            raise ValueError("STREAMS_TABLE needs QUEUE_URL and TABLE_NAME")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK_NAMES

    @property
    def viewers_per_conversation(self) -> int:
        """The most concurrent viewers of one conversation."""
        return self.max_viewers_per_conversation or -(-self.max_viewers // 2)

    @property
    def note(self) -> str:
        """What users should know of the results; empty for nothing."""
        return self.engine_note or ENGINES[self.engine].note

    @property
    def capacity(self) -> int:
        """The most concurrent streams."""
        return self.slots or ENGINES[self.engine].count_streams(os.cpu_count() or 1)


def find_unused_settings(engine: EngineName, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables in `environment` that another engine would read."""
    unread = sorted(name.upper() for name in list_unread_settings(engine))
    return tuple(name for name in unread if environment.get(name))
