from __future__ import annotations

from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from transcripts import documents
from transcripts.documents import FailureCode, GapReason
from transcripts.models import Model, Word
from transcripts.recordings.keys import CAPTIONS

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "transcripts.md").read_text()
MODELS = [
    each
    for each in (*vars(documents).values(), Word)
    if isinstance(each, type) and issubclass(each, Model)
]


@pytest.mark.parametrize("model", MODELS)
def test_the_page_names_every_field(model: type[Model]) -> None:
    for name in model.model_fields:
        camel = to_camel(name)
        assert f"`{camel}`" in PAGE or f'"{camel}"' in PAGE


def test_the_page_names_every_code_and_suffix() -> None:
    for each in (*FailureCode, *GapReason, *CAPTIONS):
        assert f"`{each}`" in PAGE
