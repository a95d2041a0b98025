"""What events ask of the router."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.events import RefusedEvent
from lambdas.router.request import (
    ForeignBucket,
    NotARecording,
    UnknownEvent,
    parse_request,
)
from tests.support.events import BUCKET, EVENT_ID, KEY, created, event, flat, located

pytestmark = pytest.mark.unit

SHAPES = pytest.mark.parametrize("shape", [created, located, flat])
CHUNK = "users/ann/audio/sessions/monday/chunk-001.webm"


@SHAPES
def test_every_shape_of_event_asks_for_its_recording(shape: Any) -> None:
    asked = parse_request(shape(CHUNK), BUCKET)

    assert asked is not None
    assert (asked.job.bucket, asked.job.key) == (BUCKET, CHUNK)
    assert asked.job.event_id == EVENT_ID
    assert asked.transcript_key == "users/ann/transcripts/monday-chunk-001.json"


@SHAPES
def test_the_same_event_asks_for_the_same(shape: Any) -> None:
    assert parse_request(shape(), BUCKET) == parse_request(shape(), BUCKET)


def test_only_events_of_s3_have_size_and_etag() -> None:
    requests = [parse_request(each(), BUCKET) for each in (created, located, flat)]

    assert [(each.job.size, each.etag) for each in requests if each] == [
        (5, "b1"),
        (None, None),
        (None, None),
    ]


@pytest.mark.parametrize("shape", [located, flat])
def test_an_application_may_have_its_recording_wait(shape: Any) -> None:
    asked = [
        parse_request(shape(**mode), BUCKET) for mode in ({}, {"mode": "now"}, {"mode": "batch"})
    ]

    assert [each.batch for each in asked if each] == [False, False, True]


@pytest.mark.parametrize("shape", [located, flat])
def test_a_mode_that_nobody_knows_is_refused(shape: Any) -> None:
    with pytest.raises(UnknownEvent):
        parse_request(shape(mode="yesterday"), BUCKET)


@SHAPES
def test_another_bucket_is_refused(shape: Any) -> None:
    with pytest.raises(ForeignBucket):
        parse_request(shape(bucket="somebody-elses"), BUCKET)


@SHAPES
@pytest.mark.parametrize(
    "key",
    [
        "users/ann/transcripts/monday-chunk-1.json",
        "users/ann/transcripts/monday-chunk-1.failed",
        "transcripts/uploads/meeting.mp3.srt",
        "users/ann/audio/sessions/monday/metadata.json",
        "notes.txt",
        "",
        "uploads/a\u0000b",
    ],
)
def test_what_is_no_recording_is_refused_also_when_an_application_asks(
    shape: Any, key: str
) -> None:
    with pytest.raises(NotARecording):
        parse_request(shape(key), BUCKET)


def test_the_mark_of_a_folder_is_no_recording_and_no_error() -> None:
    assert parse_request(created("uploads/2026/"), BUCKET) is None


@given(
    st.dictionaries(
        st.sampled_from(["id", "time", "detail", "source"]),
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda each: (
                st.lists(each)
                | st.dictionaries(
                    st.sampled_from(["bucket", "object", "name", "key", "s3Location", "s3_key"]),
                    each,
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_anything_else_is_refused_by_name(anything: dict[str, Any]) -> None:
    with pytest.raises(RefusedEvent):
        parse_request(anything, BUCKET)


def test_a_refusal_names_the_place_and_not_the_content() -> None:
    with pytest.raises(UnknownEvent) as caught:
        parse_request(event({"s3_bucket": BUCKET, "s3_key": {"secret": KEY}}), BUCKET)

    assert "s3_key" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
