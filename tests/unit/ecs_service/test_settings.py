from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from ecs_service.limits.stream_slots import StreamSlots
from ecs_service.refusal import Refusal
from ecs_service.settings import Settings, find_unused_settings
from foundation.settings import describe_settings
from speech.engines.names import EngineName
from speech.engines.registry import ENGINES, EngineSettings
from speech.engines.transcribe import AllowedOptions
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "scripted")
    monkeypatch.setenv("SCRIPTED", '{"delay": 0.5}')
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("SLOTS", "")

    settings = Settings()

    assert settings.scripted.delay == 0.5
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.capacity == 1_000
    assert settings.host == "127.0.0.1", "loopback only, by default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("ENGINE", "magic"),
        ("SLOTS", "0"),
        ("QUEUE_URL", "https://queue"),
    ],
)
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()


#: For each engine with settings, values that it refuses.
REFUSED_BY: Mapping[EngineName, Mapping[str, str]] = {
    "moonshine": {"MOONSHINE_MODEL": "/no/such/folder"},
    "scripted": {"SCRIPTED": '{"delay": -1}'},
    "transcribe": {
        "TRANSCRIBE_ALLOWED": "[",
        "TRANSCRIBE_OPTIONS": '{"speakers": "2"}',
        "TRANSCRIBE_STARTS_PER_SECOND": "0",
    },
}
WRONG = [(engine, name) for engine, values in REFUSED_BY.items() for name in values]


@pytest.mark.parametrize(("engine", "name"), WRONG)
def test_an_engines_wrong_setting_is_refused_where_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, engine: EngineName, name: str
) -> None:
    monkeypatch.setenv("ENGINE", engine)
    monkeypatch.setenv(name, REFUSED_BY[engine][name])

    with pytest.raises((ValidationError, SettingsError), match=name.lower()):
        Settings()


@pytest.mark.parametrize("engine", ENGINES)
def test_settings_of_other_engines_are_not_read(
    monkeypatch: pytest.MonkeyPatch, engine: EngineName
) -> None:
    others = {
        name: value
        for other, values in REFUSED_BY.items()
        if other != engine
        for name, value in values.items()
    }
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENGINE", engine)

    settings = Settings()

    assert settings.model_dump(include=set(EngineSettings.model_fields)) == (
        EngineSettings().model_dump()
    )
    assert find_unused_settings(engine, others) == tuple(sorted(others))


def test_the_note_is_the_engines_unless_the_operator_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINE", "scripted")
    default = Settings().note
    monkeypatch.setenv("ENGINE_NOTE", "Rehearsal: the words are made up")

    assert (default, Settings().note) == (
        ENGINES["scripted"].note,
        "Rehearsal: the words are made up",
    )


def test_an_engine_that_is_chosen_in_code_decides_what_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINE", "pocketsphinx")
    monkeypatch.setenv("SCRIPTED", '{"delay": 0.5}')

    assert Settings(engine="scripted").scripted.delay == 0.5


def test_the_time_to_come_back_follows_from_how_long_streams_last() -> None:
    slots = StreamSlots(2)
    assumed = slots.retry_after()
    for _ in range(40):
        with slots.hold():
            pass

    assert assumed == 30.0
    assert slots.retry_after() == 1.0


def test_a_slot_is_free_again_after_its_stream() -> None:
    slots = StreamSlots(1)
    with slots.hold(), pytest.raises(Refusal) as refusal, slots.hold():
        pass
    with slots.hold():
        taken = slots.taken

    assert refusal.value.code is ErrorCode.AT_CAPACITY
    assert (taken, slots.taken) == (1, 0)


def test_the_help_has_objects_as_the_environment_would_give_them() -> None:
    [line] = [
        each for each in describe_settings(Settings).splitlines() if "TRANSCRIBE_ALLOWED" in each
    ]

    default = line[line.index("[") + 1 : -1]

    assert json.loads(default).keys() == AllowedOptions.model_fields.keys()
    assert AllowedOptions.model_validate_json(default) == AllowedOptions()


def test_the_documentation_has_every_key_of_what_speakers_may_choose() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text(encoding="utf-8")

    table = text.partition("| of `allowed` |")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*AllowedOptions.model_fields}
