"""Calls about vocabularies, without a transport."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcribe_endpoint.errors import BadRequest, ServiceError, UnknownOperation
from transcribe_endpoint.vocabularies.operations import (
    Unreadable,
    VocabularyOperations,
)
from transcribe_endpoint.vocabularies.store import Vocabularies

pytestmark = pytest.mark.unit

MODEL = botocore.session.Session().get_service_model("transcribe")
HERE = {
    f"{verb}{noun}"
    for verb in ("Create", "Update", "Get", "Delete")
    for noun in ("Vocabulary", "VocabularyFilter")
} | {"ListVocabularies", "ListVocabularyFilters"}
NAMED = {"VocabularyName": "names", "LanguageCode": "en-US"}


async def call(operation: str, body: bytes = b"{}") -> dict[str, Any]:
    return await VocabularyOperations(Vocabularies()).call(operation, body)


@pytest.mark.parametrize("operation", sorted(set(MODEL.operation_names) - HERE))
async def test_amazons_operations_that_are_not_here_are_named(operation: str) -> None:
    with pytest.raises(UnknownOperation, match=f"has no {operation}"):
        await call(operation)


async def test_what_amazon_does_not_have_either_is_unknown() -> None:
    with pytest.raises(UnknownOperation, match="no such operation"):
        await call("MakeCoffee")


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await call("ListVocabularies", body)


async def test_without_s3_files_are_refused() -> None:
    body = json.dumps({**NAMED, "VocabularyFileUri": "s3://files/table.txt"}).encode()
    with pytest.raises(BadRequest, match="s3-endpoint"):
        await call("CreateVocabulary", body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def parameters(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    asked = MODEL.operation_model(operation).input_shape
    members = asked.members if asked else {}
    likely = st.sampled_from(["names", "en-US", "READY", ["a"], 5, {"Key": "k", "Value": "v"}])
    return st.fixed_dictionaries({}, optional=dict.fromkeys(members, likely | JSON))


@given(st.data())
async def test_any_parameters_get_an_answer_or_a_named_refusal(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(sorted(HERE)))
    body = json.dumps(data.draw(parameters(operation))).encode()
    output = MODEL.operation_model(operation).output_shape
    with contextlib.suppress(ServiceError):
        assert set(await call(operation, body)) <= set(output.members if output else ())
