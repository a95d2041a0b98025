"""The server's settings: environment variables, parsed once at the start."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from foundation.origins import LOOPBACK_NAMES
from speech.transcribers.choice import Device, Kind, TranscriberSpec
from speech.transcribers.whisper import Alignment
from transcripts.models import InWords, Language

#: The shortest secret that is accepted; a shorter one could be guessed.
TOKEN_LENGTH: Final = 16
#: `default` keeps the type of the converted model; `auto` takes the fastest of the device.
COMPUTE_TYPE: Final = r"^(auto|default|int16|int8|(int8_)?(bfloat16|float16|float32))$"
BUCKET: Final = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
#: The settings that a user may choose wherever the server runs: how it transcribes, and what it
#: logs. The others, its place and its limits, are the deployment's to decide.
USER_CHOICES: Final = frozenset(
    {
        "ALIGNMENT",
        "ALIGNMENT_MODEL",
        "BATCH_SIZE",
        "COMPUTE_TYPE",
        "DEVICE",
        "FETCH_MODELS",
        "HF_TOKEN",
        "LOG_LEVEL",
        "MODEL",
        "TRANSCRIBER",
        "TRANSCRIBER_LANGUAGE",
    }
)


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="0 picks a free one")] = 8000
    auth_token: Annotated[
        SecretStr | None,
        Field(description="bearer token that callers send; required beyond loopback"),
    ] = None
    auth_token_file: Annotated[Path | None, Field(description="file with that token")] = None

    transcriber: Annotated[
        Kind, Field(description="auto: whisperx on a GPU, faster-whisper with a MODEL, or embedded")
    ] = "auto"
    model: Annotated[
        str | None, Field(description="Whisper model: a folder in CTranslate2's format, or a name")
    ] = None
    device: Annotated[Device, Field(description="device of the model")] = "auto"
    compute_type: Annotated[
        str,
        Field(pattern=COMPUTE_TYPE, description="type in CTranslate2, e.g. float16, int8_float32"),
        InWords("`auto`, `default`, or a type of CTranslate2 such as float16 or int8_float32"),
    ] = "default"
    batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=256,
            description="stretches of speech that whisperx decodes at once, at most; default: as "
            "many as the GPU's memory allows",
        ),
    ] = None
    transcriber_language: Annotated[
        Language | None, Field(description="for recordings without one; default: detect it")
    ] = None
    alignment: Annotated[
        Alignment, Field(description="whether whisperx aligns words; auto: if there is a model")
    ] = "auto"
    alignment_model: Annotated[
        str | None, Field(description="folder or name of the model to align with")
    ] = None
    fetch_models: Annotated[
        bool,
        Field(
            description="whether missing models may be downloaded when they are needed; a MODEL "
            "that is a name, or an HF_TOKEN, implies it"
        ),
    ] = False
    hf_token: Annotated[
        SecretStr | None,
        Field(description="token of the Hugging Face hub, for whisperx to label speakers"),
    ] = None

    slots: Annotated[
        int | None,
        Field(ge=1, le=64, description="recordings at a time, with a model each; default: 1"),
    ] = None
    queue_limit: Annotated[
        int, Field(ge=0, le=10_000, description="requests that may wait for a slot")
    ] = 8
    max_upload_bytes: Annotated[
        int, Field(ge=1, description="size of the largest recording, bytes")
    ] = 2 * 1024**3
    max_seconds: Annotated[
        float, Field(gt=0, le=24 * 3600, description="length of the longest recording, seconds")
    ] = 4 * 3600.0
    transfer_seconds: Annotated[
        float, Field(gt=0, description="longest pause of an upload or download, seconds")
    ] = 30.0
    transfer_rate: Annotated[
        float,
        Field(gt=0, description="bytes per second; slower uploads and downloads are aborted"),
    ] = 16 * 1024
    transfer_limit: Annotated[
        int, Field(ge=1, le=10_000, description="uploads at a time, and as many downloads")
    ] = 32
    transfer_bytes: Annotated[
        int | None,
        Field(
            ge=1,
            description="disk space for incomplete uploads, and as much for downloads, bytes; "
            "default: four times MAX_UPLOAD_BYTES",
        ),
    ] = None
    request_seconds: Annotated[
        float, Field(gt=0, description="longest time for a request's head or small body, seconds")
    ] = 15.0
    connection_limit: Annotated[
        int | None,
        Field(ge=8, description="connections at a time; default: by other limits, at least 256"),
    ] = None
    upload_seconds: Annotated[
        float, Field(gt=0, description="longest total time of an upload, seconds")
    ] = 3600.0
    stall_seconds: Annotated[
        float, Field(gt=0, description="longest time without progress of the model, seconds")
    ] = 600.0
    start_seconds: Annotated[
        float, Field(gt=0, description="longest time for loading the model, seconds")
    ] = 600.0
    work_dir: Annotated[
        Path, Field(description="folder for recordings while they are transcribed")
    ] = Path(tempfile.gettempdir())

    recordings_bucket: Annotated[
        tuple[Annotated[str, Field(pattern=BUCKET), InWords("the name of a bucket in S3")], ...],
        NoDecode,
        Field(description="buckets of recordings, separated by commas; default: none"),
    ] = ()
    queue_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://", description="URL of the SQS queue of jobs; default: HTTP only"
        ),
        InWords("a URL of http or https"),
    ] = None
    visibility_seconds: Annotated[
        float,
        Field(ge=1, le=43_200, description="time until a dead worker's job is retried, seconds"),
    ] = 300.0
    poll_seconds: Annotated[
        int, Field(ge=0, le=20, description="duration of a long poll of the queue, seconds")
    ] = 10
    stop_seconds: Annotated[
        float, Field(ge=0, description="time for work to finish after SIGTERM, seconds")
    ] = 105.0
    spot_notice: Annotated[
        bool, Field(description="watch for EC2's Spot notices; ECS does so itself")
    ] = False
    ecs_agent_uri: Annotated[
        str | None,
        Field(
            pattern=r"^http://",
            description="endpoint for protecting a busy task; set by ECS",
        ),
        InWords("a URL of http"),
    ] = None
    idle_exit_seconds: Annotated[
        float | None, Field(gt=0, description="exit after so long without work; default: never")
    ] = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("recordings_bucket", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(one.strip() for one in value.split(",") if one.strip())
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.queue_url is not None and not self.recordings_bucket:
            raise ValueError("QUEUE_URL is given: RECORDINGS_BUCKET has to name the jobs' bucket")
        if self.auth_token is not None and self.auth_token_file is not None:
            raise ValueError("give AUTH_TOKEN or AUTH_TOKEN_FILE, not both")
        if self.spool_bytes < self.max_upload_bytes:
            raise ValueError("TRANSFER_BYTES has to be MAX_UPLOAD_BYTES at least")
        secret = self.secret
        if secret is None and not self.is_loopback:
            raise ValueError(
                "HOST is not this machine alone: give AUTH_TOKEN or AUTH_TOKEN_FILE, for else "
                "anybody could use the server"
            )
        if secret is not None and len(secret) < TOKEN_LENGTH:
            raise ValueError(f"the secret has to have at least {TOKEN_LENGTH} characters")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK_NAMES

    @property
    def secret(self) -> str | None:
        """The secret that callers have to send; None: none is needed.

        Raises:
            ValueError: the file cannot be read.
        """
        if self.auth_token is not None:
            return self.auth_token.get_secret_value()
        if self.auth_token_file is None:
            return None
        try:
            return self.auth_token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"AUTH_TOKEN_FILE cannot be read: {type(error).__name__}") from None

    @property
    def capacity(self) -> int:
        """The number of slots."""
        return self.slots or 1

    @property
    def spool_bytes(self) -> int:
        """The bytes that uploads may have on the disk, and as many for downloads."""
        return self.transfer_bytes or 4 * self.max_upload_bytes

    @property
    def connections(self) -> int:
        """The wanted limit of connections: by default twice the requests that can be in work."""
        in_work = 2 * self.transfer_limit + self.queue_limit + self.capacity
        return self.connection_limit or max(256, 2 * in_work)

    @property
    def spec(self) -> TranscriberSpec:
        """The transcriber to load."""
        return TranscriberSpec(
            kind=self.transcriber,
            model=self.model,
            device=self.device,
            compute_type=self.compute_type,
            batch_size=self.batch_size,
            language=self.transcriber_language,
            alignment=self.alignment,
            alignment_model=self.alignment_model,
            fetch_models=self.fetch_models,
            token=self.hf_token.get_secret_value() if self.hf_token else None,
        )


def from_environment() -> Settings:
    """Read the settings of this process, and remove the secrets from its environment."""
    settings = Settings()
    for name in ("AUTH_TOKEN", "HF_TOKEN"):
        os.environ.pop(name, None)
    return settings
