from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pydantic import ValidationError

from lambdas.router.decide import (
    ForeignBucket,
    NotARecording,
    RefusedEvent,
    UnknownEvent,
    decide,
)
from transcripts.recordings import TranscriptionJob

pytestmark = pytest.mark.unit

HANDLER = "lambdas.router.handler"
BUCKET = "recordings-of-ours"
KEY = "uploads/the secret of the meeting.mp3"
CONTEXT = SimpleNamespace(
    function_name="router",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:router:live",
    aws_request_id="request",
)


def event(detail: Any, source: str = "aws.s3") -> dict[str, Any]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": source,
        "time": "2026-11-20T17:29:03Z",
        "detail": detail,
    }


def created(key: str = KEY, bucket: str = BUCKET) -> dict[str, Any]:
    return event(
        {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 5, "etag": "b1", "sequencer": "00617F08299329D189"},
            "reason": "PutObject",
        }
    )


def located(key: str = KEY, bucket: str = BUCKET) -> dict[str, Any]:
    return event({"s3Location": {"bucket": bucket, "key": key}}, "cloudscribe")


def flat(key: str = KEY, bucket: str = BUCKET) -> dict[str, Any]:
    return event({"s3_bucket": bucket, "s3_key": key, "userId": "ann"}, "cloudscribe")


SHAPES = pytest.mark.parametrize("shape", [created, located, flat])


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module after a cold start, its queue in moto."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")  # must not help
    monkeypatch.setenv("RECORDINGS_BUCKET", BUCKET)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Cloudscribe/test")
    monkeypatch.setenv("JOBS_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    with mock_aws():
        module = importlib.import_module(HANDLER)
        module.sqs.create_queue(QueueName="jobs")
        yield module


@pytest.fixture
def logs(handler: ModuleType) -> io.StringIO:
    stream = io.StringIO()
    handler.logger.registered_handler.setStream(stream)
    return stream


def jobs(handler: ModuleType) -> list[TranscriptionJob]:
    answer = handler.sqs.receive_message(
        QueueUrl=handler.settings.jobs_queue_url, MaxNumberOfMessages=10
    )
    return [TranscriptionJob.model_validate_json(each["Body"]) for each in answer["Messages"]]


@SHAPES
def test_every_shape_of_event_becomes_a_job(shape: Any) -> None:
    job = decide(shape("users/ann/audio/sessions/monday/chunk-001.webm"), BUCKET)

    assert job is not None
    assert (job.bucket, job.key) == (BUCKET, "users/ann/audio/sessions/monday/chunk-001.webm")
    assert job.event_id == "17793124-05d4-b198-2fde-7ededc63b103"


@SHAPES
def test_the_same_event_makes_the_same_job(shape: Any) -> None:
    assert decide(shape(), BUCKET) == decide(shape(), BUCKET)


def test_only_s3_tells_the_size() -> None:
    sizes = [job.size for job in (decide(each(), BUCKET) for each in (created, flat)) if job]

    assert sizes == [5, None]


@SHAPES
def test_another_bucket_is_refused(shape: Any) -> None:
    with pytest.raises(ForeignBucket):
        decide(shape(bucket="somebody-elses"), BUCKET)


@SHAPES
@pytest.mark.parametrize(
    "key", ["users/ann/transcripts/monday-chunk-1.json", "notes.txt", "", "uploads/a\u0000b"]
)
def test_what_is_no_recording_is_refused_also_when_an_application_asks(
    shape: Any, key: str
) -> None:
    with pytest.raises(NotARecording):
        decide(shape(key), BUCKET)


def test_the_mark_of_a_folder_is_no_recording_and_no_error() -> None:
    assert decide(created("uploads/2026/"), BUCKET) is None


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
        decide(anything, BUCKET)


def test_a_refusal_tells_the_place_and_not_the_content() -> None:
    with pytest.raises(UnknownEvent) as caught:
        decide(event({"s3_bucket": BUCKET, "s3_key": {"secret": KEY}}), BUCKET)

    assert "s3_key" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_handler_puts_the_job_on_the_queue(handler: ModuleType) -> None:
    handler.handler(created(), CONTEXT)

    (job,) = jobs(handler)
    assert (job.bucket, job.key, job.size) == (BUCKET, KEY, 5)


def test_the_handler_does_nothing_about_folders(handler: ModuleType) -> None:
    handler.handler(created("uploads/2026/"), CONTEXT)

    answer = handler.sqs.receive_message(QueueUrl=handler.settings.jobs_queue_url)
    assert "Messages" not in answer


def test_an_event_that_is_refused_fails_the_invocation_so_that_it_is_kept(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownEvent):
        handler.handler({"hello": "world"}, CONTEXT)

    lines = capsys.readouterr().out.splitlines()
    metrics = next(json.loads(line) for line in lines if "_aws" in line)
    assert metrics["EventsRefused"] == [1.0]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Cloudscribe/test"


def test_a_queue_that_refuses_fails_the_invocation_so_that_it_is_repeated(
    handler: ModuleType,
) -> None:
    handler.sqs.delete_queue(QueueUrl=handler.settings.jobs_queue_url)

    with pytest.raises(ClientError):
        handler.handler(created(), CONTEXT)


def test_names_of_recordings_are_not_logged(
    handler: ModuleType, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handler(created(), CONTEXT)
    with pytest.raises(NotARecording):
        handler.handler(created(f"elsewhere/{KEY}"), CONTEXT)

    printed = logs.getvalue() + capsys.readouterr().out
    assert "17793124-05d4-b198-2fde-7ededc63b103" in printed
    assert "secret" not in printed


def test_a_wrong_setting_does_not_quote_the_environment(handler: ModuleType) -> None:
    with pytest.raises(ValidationError) as caught:
        handler.Settings.model_validate({"AWS_SECRET_ACCESS_KEY": "abc"})

    assert "JOBS_QUEUE_URL" in str(caught.value)
    assert "abc" not in str(caught.value)
