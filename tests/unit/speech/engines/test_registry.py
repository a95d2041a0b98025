from __future__ import annotations

from typing import get_args

import pytest

from speech.engines.embedded import choose_embedded
from speech.engines.names import EngineName
from speech.engines.registry import ENGINES, EngineSettings

pytestmark = pytest.mark.unit


def test_every_name_has_an_engine_and_every_engine_a_name() -> None:
    assert set(ENGINES) == set(get_args(EngineName))


@pytest.mark.parametrize("name", sorted({choose_embedded(), "pocketsphinx", "scripted"}))
def test_an_engine_has_the_name_by_which_it_is_chosen(name: EngineName) -> None:
    kind = ENGINES[name]

    engine = kind.create(EngineSettings(), kind.count_streams(2))

    assert engine.name == name
    assert kind.count_streams(4) >= kind.count_streams(1) >= 1
