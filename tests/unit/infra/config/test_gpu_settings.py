"""The GPU server's settings: what an environment may give is what the server starts with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpu_server.settings import Settings
from infra.config.gpu_settings import OF_LIBRARIES, OF_STACK, SECRET, SETTINGS, problems

pytestmark = pytest.mark.unit

#: Texts at and beyond the bounds of settings, and of every kind.
BOUNDS = (0, 1, 7, 8, 20, 21, 64, 65, 256, 257, 10_000, 10_001, 43_200, 43_201, 86_400, 86_401)
TEXTS = [
    *map(str, BOUNDS),
    *("-1", "0.5", "2.0", " 3 ", "1e3", "1e400", "nan", "inf", "zero", "1_000", "0x10"),
    *("true", "no", "yes", "TRUE", "auto", "always", "whisperx", "embedded", "info", "INFO"),
    *("default", "float16", "int8_float32", "int4", "en", "en-US", "english", "", " "),
]


def starts(name: str, text: str) -> bool:
    given_: dict[str, Any] = {} if text == "" else {name.lower(): text}  # `env_ignore_empty`
    if name == "MAX_UPLOAD_BYTES":
        given_["transfer_bytes"] = 2**60
    elif name == "TRANSFER_BYTES":
        given_["max_upload_bytes"] = 1
    try:
        Settings(**given_)
    except ValidationError:
        return False
    return True


def refused(settings: dict[str, str], built_for: str | None = None) -> dict[str, str]:
    return dict(problems(settings, built_for=built_for))


def test_every_setting_of_the_server_is_one_to_give_or_one_of_the_stack() -> None:
    of_server = {name.upper() for name in Settings.model_fields}

    assert of_server == (SETTINGS.keys() | OF_STACK | SECRET) - {"AWS_DEFAULT_REGION"}
    assert not [name for name in of_server - SECRET if name.startswith(OF_LIBRARIES)]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_is_refused_exactly_where_the_server_would_not_start(name: str) -> None:
    with_upload = {"MAX_UPLOAD_BYTES": "1"} if name == "TRANSFER_BYTES" else {}
    for text in TEXTS:
        assert (refused({**with_upload, name: text}) == {}) == starts(name, text), text


@given(st.sampled_from(sorted(SETTINGS)), st.text(max_size=6))
def test_whatever_is_given_is_refused_or_starts(name: str, text: str) -> None:
    with_upload = {"MAX_UPLOAD_BYTES": "1"} if name == "TRANSFER_BYTES" else {}

    assert (refused({**with_upload, name: text}) == {}) == starts(name, text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SLTOS": "2"}, "did you mean SLOTS?"),
        ({"slots": "2"}, "no such setting"),
        ({"FOO": "1"}, "no such setting"),
        ({"SLOTS": "zero"}, "give a whole number, 1 to 64"),
        ({"MAX_SECONDS": "0"}, "give a number of more than 0, at most 86400"),
        ({"LOG_LEVEL": "loud"}, "give debug, info, warning or error"),
        ({"DEVICE": "cpu"}, "is made by the stack"),
        ({"HF_TOKEN": "hf_secret"}, "is a secret"),
        ({"TRANSFER_BYTES": "1000"}, "give MAX_UPLOAD_BYTES at least"),
    ],
)
def test_a_setting_is_refused_in_words(settings: dict[str, str], words: str) -> None:
    (text,) = refused(settings).values()

    assert words in text


def test_variables_of_libraries_are_let_through() -> None:
    assert refused({"OMP_NUM_THREADS": "2", "HF_ENDPOINT": "https://hub.example.org"}) == {}


def test_a_transcriber_that_is_not_in_the_image_is_refused() -> None:
    assert (
        "set gpu.transcriber"
        in refused({"TRANSCRIBER": "whisperx"}, "faster-whisper")["TRANSCRIBER"]
    )
    assert refused({"TRANSCRIBER": "whisperx", "BATCH_SIZE": "8"}) == {}
