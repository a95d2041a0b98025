"""The GPU server's settings that an environment may set, and the valid values of each.

A machine with a wrong setting would start, fail and cost money, so names and values are checked
before a deployment. The server parses the same text with the same library when it starts. infra
does not import the server; a unit test compares both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from infra.config.parts import Problem
from infra.wording import join_alternatives, suggest
from transcripts.models import Language

#: Settings that the stack sets, or that would keep the router from reaching the server.
OF_STACK: Final = frozenset(
    {
        "AWS_DEFAULT_REGION",
        "DEVICE",
        "ECS_AGENT_URI",
        "HOST",
        "PORT",
        "QUEUE_URL",
        "RECORDINGS_BUCKET",
    }
)
SECRET: Final = frozenset({"AUTH_TOKEN", "AUTH_TOKEN_FILE", "HF_TOKEN"})
#: Prefixes of variables that libraries in the image read.
OF_LIBRARIES: Final[tuple[str, ...]] = ("CT2_", "CUDA_", "HF_", "OMP_")

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_DAY: Final = 24 * 3600
#: The server's default, bytes.
_MAX_UPLOAD_BYTES: Final = 2 * 1024**3
#: Transcribers that run a model in an image; each needs packages of its own.
_MODEL_RUNNERS: Final = frozenset({"faster-whisper", "whisperx"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """The valid values of a setting."""

    words: str
    adapter: TypeAdapter[Any]

    def takes(self, text: str) -> bool:
        try:
            self.adapter.validate_python(text)
        except ValidationError:
            return False
        return True


def _kind(words: str, type_: Any) -> _Kind:
    return _Kind(words, TypeAdapter(type_, config=ConfigDict(allow_inf_nan=False)))


def _whole(least: int, most: int | None = None) -> _Kind:
    words = f"give a whole number, {least} {'or more' if most is None else f'to {most}'}"
    return _kind(words, Annotated[int, Field(ge=least, le=most)])


def _above_zero(most: float | None = None) -> _Kind:
    words = "give a number of more than 0" + ("" if most is None else f", at most {most:g}")
    return _kind(words, Annotated[float, Field(gt=0, le=most)])


def _one_of(choice: Any) -> _Kind:
    return _kind(f"give {join_alternatives(get_args(choice))}", choice)


_TEXT: Final = _kind("give a text", str)
_SWITCH: Final = _kind("give true or false", bool)

SETTINGS: Final[Mapping[str, _Kind]] = {
    "TRANSCRIBER": _one_of(Literal["auto", "whisperx", "faster-whisper", "embedded"]),
    "MODEL": _TEXT,
    "COMPUTE_TYPE": _kind(
        "give auto, default, or a type of CTranslate2 such as float16 or int8_float32",
        Annotated[
            str, Field(pattern=r"^(auto|default|int16|int8|(int8_)?(bfloat16|float16|float32))$")
        ],
    ),
    "BATCH_SIZE": _whole(1, 256),
    "TRANSCRIBER_LANGUAGE": _kind("give a BCP 47 tag such as en-US", Language),
    "ALIGNMENT": _one_of(Literal["auto", "always", "never"]),
    "ALIGNMENT_MODEL": _TEXT,
    "FETCH_MODELS": _SWITCH,
    "SLOTS": _whole(1, 64),
    "QUEUE_LIMIT": _whole(0, 10_000),
    "MAX_UPLOAD_BYTES": _whole(1),
    "MAX_SECONDS": _above_zero(_DAY),
    "TRANSFER_SECONDS": _above_zero(),
    "TRANSFER_RATE": _above_zero(),
    "TRANSFER_LIMIT": _whole(1, 10_000),
    "TRANSFER_BYTES": _whole(1),
    "REQUEST_SECONDS": _above_zero(),
    "CONNECTION_LIMIT": _whole(8),
    "UPLOAD_SECONDS": _above_zero(),
    "STALL_SECONDS": _above_zero(),
    "START_SECONDS": _above_zero(),
    "WORK_DIR": _TEXT,
    "VISIBILITY_SECONDS": _kind(
        "give a number, 1 to 43200", Annotated[float, Field(ge=1, le=43_200)]
    ),
    "POLL_SECONDS": _whole(0, 20),
    "STOP_SECONDS": _kind("give a number, 0 or more", Annotated[float, Field(ge=0)]),
    "SPOT_NOTICE": _SWITCH,
    "IDLE_EXIT_SECONDS": _above_zero(),
    "LOG_LEVEL": _one_of(Literal["debug", "info", "warning", "error"]),
}


def problems(settings: Mapping[str, str], *, built_for: str | None) -> Iterator[Problem]:
    """Report settings that the server does not know, or would refuse, by their names.

    Args:
        settings: the environment's settings.
        built_for: the transcriber of an image that is built from a folder; None: an existing image,
            whose contents are unknown.
    """
    wrong = set()
    for name, value in settings.items():
        if text := _problem(name, value):
            wrong.add(name)
            yield name, text
    # The server treats an empty value as missing.
    right = {name: value for name, value in settings.items() if value and name not in wrong}
    if built_for and right.get("TRANSCRIBER") in _MODEL_RUNNERS - {built_for}:
        yield "TRANSCRIBER", f"the image is built for {built_for}: set gpu.transcriber instead"
    upload = _number(right, "MAX_UPLOAD_BYTES", _MAX_UPLOAD_BYTES)
    if _number(right, "TRANSFER_BYTES", upload) < upload:
        yield "TRANSFER_BYTES", f"give MAX_UPLOAD_BYTES at least, {upload}"


def _number(right: Mapping[str, str], name: str, default: int) -> int:
    text = right.get(name)
    return default if text is None else int(SETTINGS[name].adapter.validate_python(text))


def _problem(name: str, value: str) -> str | None:
    if name in OF_STACK:
        return "is made by the stack"
    if name in SECRET:
        return "is a secret, which everybody could read in the template"
    if name in SETTINGS:
        return None if not value or SETTINGS[name].takes(value) else SETTINGS[name].words
    if _NAME.fullmatch(name) and name.startswith(OF_LIBRARIES):
        return None
    return f"the server has no such setting: {suggest(name, SETTINGS)}"
