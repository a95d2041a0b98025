"""Broken events; `python -m tests.fuzz.events` tries more of them."""

from __future__ import annotations

import pytest

from tests.fuzz.events import faults, functions

pytestmark = pytest.mark.unit


def test_a_broken_event_is_refused_by_name_and_its_texts_reach_no_log() -> None:
    with functions() as all_of_them:
        for function in all_of_them:
            found, ends = faults(function, range(300))

            assert found == [], function.name
            assert ends["done"] > 30
