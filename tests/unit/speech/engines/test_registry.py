from __future__ import annotations

from typing import cast, get_args

import pytest

from speech.engines.embedded import choose_embedded
from speech.engines.names import STREAMS_PER_CORE, EmbeddedName, EngineName
from speech.engines.registry import ENGINES, EngineSettings

pytestmark = pytest.mark.unit


def test_the_embedded_engines_have_their_capacity_in_one_place() -> None:
    assert set(STREAMS_PER_CORE) == set(get_args(EmbeddedName))
    for name, streams in STREAMS_PER_CORE.items():
        assert ENGINES[cast("EngineName", name)].count_streams(4) == 4 * streams


def test_every_name_has_an_engine_and_every_engine_a_name() -> None:
    assert set(ENGINES) == set(get_args(EngineName))


@pytest.mark.parametrize("name", sorted({choose_embedded(), "pocketsphinx", "scripted"}))
def test_an_engine_has_the_name_by_which_it_is_chosen(name: EngineName) -> None:
    kind = ENGINES[name]

    engine = kind.create(EngineSettings(), kind.count_streams(2))

    assert engine.name == name
    assert kind.count_streams(4) >= kind.count_streams(1) >= 1
