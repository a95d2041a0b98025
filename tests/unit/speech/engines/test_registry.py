from __future__ import annotations

from typing import cast, get_args

import pytest

from speech.engines.base import RecognitionOptions
from speech.engines.embedded import choose_embedded
from speech.engines.errors import UnsupportedLanguage
from speech.engines.moonshine.files import is_installed
from speech.engines.names import EMBEDDED_LANGUAGES, STREAMS_PER_CORE, EmbeddedName, EngineName
from speech.engines.registry import ENGINES, EngineSettings
from speech.engines.transcribe.options import LANGUAGES

pytestmark = pytest.mark.unit


def test_the_embedded_engines_have_their_capacity_in_one_place() -> None:
    assert set(STREAMS_PER_CORE) == set(get_args(EmbeddedName))
    for name, streams in STREAMS_PER_CORE.items():
        assert ENGINES[cast("EngineName", name)].count_streams(4) == 4 * streams


def test_every_name_has_an_engine_and_every_engine_a_name() -> None:
    assert set(ENGINES) == set(get_args(EngineName))


def test_a_speaker_who_changes_from_moonshine_to_transcribe_keeps_the_language() -> None:
    variants = {tag for tag in LANGUAGES if tag.startswith("en-")}

    # Scottish and Welsh English have tags there that are no region's.
    assert EMBEDDED_LANGUAGES["moonshine"] == variants - {"en-AB", "en-WL"}


@pytest.mark.parametrize("name", EMBEDDED_LANGUAGES)
@pytest.mark.parametrize("language", ["en", "en-US", "en-GB", "en-IN", "de-DE", "fr-FR"])
def test_an_embedded_engine_takes_its_languages_and_refuses_others(
    name: EmbeddedName, language: str
) -> None:
    if name == "moonshine" and not is_installed():
        pytest.skip("moonshine is not installed: it has no package for this machine")
    engine = ENGINES[name].create(EngineSettings(), 1)
    expected = {"pocketsphinx": {"en-US"}, "moonshine": {"en-US", "en-GB", "en-IN"}}[name]

    if language in expected:
        engine.recognise(RecognitionOptions(language=language))
    else:
        with pytest.raises(UnsupportedLanguage, match="en-US"):
            engine.recognise(RecognitionOptions(language=language))


@pytest.mark.parametrize("name", sorted({choose_embedded(), "pocketsphinx", "scripted"}))
def test_an_engine_has_the_name_by_which_it_is_chosen(name: EngineName) -> None:
    kind = ENGINES[name]

    engine = kind.create(EngineSettings(), kind.count_streams(2))

    assert engine.name == name
    assert kind.count_streams(4) >= kind.count_streams(1) >= 1
