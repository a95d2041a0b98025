"""The router's function: real handler, AWS in memory, and a server that answers as it is set to."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from pydantic import ValidationError

from lambdas.router.decide import Answer, NoAnswer, Rejected, ServerHealth, Transcribed
from tests.support.events import BUCKET, EVENT_ID, KEY, created, flat
from transcripts.recordings.keys import TranscriptionJob, beside, recording

pytestmark = pytest.mark.unit

HANDLER = "lambdas.router.handler"
SQS = "https://sqs.us-east-1.amazonaws.com/123456789012"
TRANSCRIPT = recording(KEY).transcript_key
FAILURE = beside(TRANSCRIPT, ".failed")


class Context(SimpleNamespace):
    """What Lambda reports of an invocation."""

    function_name = "router"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:router:live"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 299_000


class Transcriber:
    """A server whose state the test sets, and which remembers what it was given."""

    def __init__(self, *answers: Answer, health: ServerHealth = ServerHealth.READY) -> None:
        self.answers = list(answers)
        self.state = health
        self.given: list[tuple[str, str]] = []
        self.asked = 0
        #: What it puts into the bucket before it answers.
        self.writes: tuple[str, str] | None = None
        self.put: Callable[[str, str], None] = lambda _key, _body: None

    def health(self) -> ServerHealth:
        self.asked += 1
        return self.state

    def transcribe(self, bucket: str, key: str, *, seconds: float) -> Answer:
        assert seconds > 0
        self.given.append((bucket, key))
        if self.writes:
            self.put(*self.writes)
        return self.answers.pop(0)


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module after a cold start, bucket and queue in moto, and no server."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")  # must not help
    monkeypatch.setenv("RECORDINGS_BUCKET", BUCKET)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Cloudscribe/test")
    monkeypatch.setenv("JOBS_QUEUE_URL", f"{SQS}/jobs")
    monkeypatch.setenv("UNDELIVERED_QUEUE_URL", f"{SQS}/undelivered")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GPU_URL", "AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    with mock_aws():
        module = importlib.import_module(HANDLER)
        monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
        module.sqs.create_queue(QueueName="jobs")
        module.sqs.create_queue(QueueName="undelivered")
        module.s3.create_bucket(Bucket=BUCKET)
        yield module


@pytest.fixture
def logs(handler: ModuleType) -> io.StringIO:
    stream = io.StringIO()
    handler.logger.registered_handler.setStream(stream)
    return stream


def serve(
    handler: ModuleType, *answers: Answer, health: ServerHealth = ServerHealth.READY
) -> Transcriber:
    server = Transcriber(*answers, health=health)
    server.put = partial(put, handler)
    vars(handler)["router"] = replace(handler.router, server=server)
    return server


def jobs(handler: ModuleType) -> list[TranscriptionJob]:
    answer = handler.sqs.receive_message(
        QueueUrl=handler.settings.jobs_queue_url, MaxNumberOfMessages=10
    )
    found = answer.get("Messages", [])
    return [TranscriptionJob.model_validate_json(each["Body"]) for each in found]


def undelivered(handler: ModuleType) -> list[dict[str, Any]]:
    answer = handler.sqs.receive_message(
        QueueUrl=handler.settings.undelivered_queue_url, MaxNumberOfMessages=10
    )
    return [json.loads(each["Body"]) for each in answer.get("Messages", [])]


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    lines = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = next(json.loads(line) for line in lines if "_aws" in line)
    assert found["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Cloudscribe/test"
    return {name: value for name, value in found.items() if isinstance(value, list)}


def put(handler: ModuleType, key: str, body: str = "{}") -> None:
    handler.s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())


def failed(etag: str | None) -> str:
    return json.dumps({"version": 1, "kind": "failure", "etag": etag, "code": "empty"})


# --- where recordings go ------------------------------------------------------------------------


def test_a_server_that_is_ready_gets_the_recording_and_the_queue_does_not(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(handler, Transcribed())

    handler.handler(created(), Context())

    assert server.given == [(BUCKET, KEY)]
    assert jobs(handler) == []
    assert counted(capsys) == {"RecordingsTranscribed": [1.0]}


def test_without_a_server_the_recording_is_a_job(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handler(created(), Context())

    (job,) = jobs(handler)
    assert (job.bucket, job.key, job.size, job.event_id) == (BUCKET, KEY, 5, EVENT_ID)
    assert counted(capsys) == {"RecordingsQueued": [1.0]}


@pytest.fixture
def wakes(handler: ModuleType) -> Callable[[], int]:
    """Give the router a queue of wakes; return how to count what came in."""
    queue = handler.sqs.create_queue(QueueName="wakes.fifo", Attributes={"FifoQueue": "true"})
    url = queue["QueueUrl"]
    vars(handler)["settings"] = handler.settings.model_copy(update={"wake_queue_url": url})
    name = "ApproximateNumberOfMessages"

    def count() -> int:
        answer = handler.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    return count


def test_what_is_queued_wakes_the_batch_worker_once_for_a_burst(
    handler: ModuleType, wakes: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(handler.time, "time", lambda: now)
    for _ in range(10):
        handler.handler(created(), Context())
    assert len(jobs(handler)) == 10
    assert wakes() == 1

    now += 60
    handler.handler(created(), Context())
    assert wakes() == 2


def test_what_a_server_transcribes_wakes_nobody(
    handler: ModuleType, wakes: Callable[[], int]
) -> None:
    serve(handler, Transcribed())

    handler.handler(created(), Context())

    assert wakes() == 0


@pytest.mark.usefixtures("wakes")
def test_a_wake_that_fails_is_no_failure_for_the_batch_worker_looks_by_itself(
    handler: ModuleType, logs: io.StringIO
) -> None:
    handler.sqs.delete_queue(QueueUrl=handler.settings.wake_queue_url)

    handler.handler(created(), Context())

    assert len(jobs(handler)) == 1
    assert "batch worker not woken" in logs.getvalue()


@pytest.mark.parametrize("health", [ServerHealth.DOWN, ServerHealth.NOT_READY, ServerHealth.FULL])
def test_a_server_that_is_not_well_is_not_bothered(
    handler: ModuleType, health: ServerHealth
) -> None:
    server = serve(handler, health=health)

    handler.handler(created(), Context())

    assert server.given == []
    assert len(jobs(handler)) == 1


def test_what_may_wait_is_queued_although_the_server_is_ready(handler: ModuleType) -> None:
    server = serve(handler)

    handler.handler(flat(mode="batch"), Context())

    assert server.asked == 0
    assert len(jobs(handler)) == 1


@pytest.mark.parametrize("event", [created(size=10**9), flat()])
def test_what_takes_too_long_is_queued_also_where_only_the_bucket_knows_its_size(
    handler: ModuleType, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(handler)
    monkeypatch.setattr(handler.router.recordings, "size", lambda _request: 10**9)

    handler.handler(event, Context())

    assert server.given == []
    assert len(jobs(handler)) == 1


def test_the_bucket_knows_the_size_of_what_is_there(handler: ModuleType) -> None:
    request = handler.parse_request(flat(), BUCKET)
    assert handler.router.recordings.size(request) is None

    put(handler, KEY, "12345678")

    assert handler.router.recordings.size(request) == 8


# --- what was dealt with before -----------------------------------------------------------------


def test_what_is_transcribed_is_left_alone(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(handler)
    put(handler, TRANSCRIPT)

    handler.handler(created(), Context())

    assert (server.asked, server.given, jobs(handler)) == (0, [], [])
    assert counted(capsys) == {"RecordingsSkipped": [1.0]}


@pytest.mark.parametrize("etag", ["b1", '"b1"'])
def test_what_cannot_be_transcribed_is_left_alone(handler: ModuleType, etag: str | None) -> None:
    server = serve(handler)
    put(handler, FAILURE, failed(etag))

    handler.handler(created(), Context())

    assert (server.asked, server.given, jobs(handler)) == (0, [], [])


def test_other_bytes_under_the_name_of_what_failed_get_their_chance(handler: ModuleType) -> None:
    server = serve(handler, Transcribed())
    put(handler, FAILURE, failed("of what was there before"))

    handler.handler(created(), Context())

    assert server.given == [(BUCKET, KEY)]


@pytest.mark.parametrize("record", ["", "no JSON", "[]", '{"etag": 5}', "{}"])
def test_a_failure_without_an_etag_does_not_keep_other_bytes_from_their_attempt(
    handler: ModuleType, record: str
) -> None:
    put(handler, FAILURE, record)

    assert handler.router.recordings.state(handler.parse_request(created(), BUCKET)) == "waiting"


def test_an_event_that_comes_twice_is_transcribed_once(handler: ModuleType) -> None:
    server = serve(handler, Transcribed())

    handler.handler(created(), Context())
    put(handler, TRANSCRIPT)
    handler.handler(created(), Context())

    assert len(server.given) == 1
    assert jobs(handler) == []


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_server_that_fails_four_times_leaves_the_recording_to_the_queue(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(handler, NoAnswer(), NoAnswer(), NoAnswer(), NoAnswer())

    handler.handler(created(), Context())

    assert len(server.given) == 4
    assert len(jobs(handler)) == 1
    assert counted(capsys) == {"RecordingsQueued": [1.0]}


@pytest.mark.parametrize(
    ("key", "record", "count"),
    [(TRANSCRIPT, "{}", "RecordingsTranscribed"), (FAILURE, failed("b1"), "RecordingsFailed")],
)
def test_an_outcome_whose_answer_was_lost_is_found(
    handler: ModuleType, capsys: pytest.CaptureFixture[str], key: str, record: str, count: str
) -> None:
    server = serve(handler, NoAnswer())
    server.writes = (key, record)

    handler.handler(created(), Context())

    assert jobs(handler) == []
    assert counted(capsys) == {count: [1.0]}


def test_a_refusal_of_the_server_costs_no_recording_and_is_logged(
    handler: ModuleType, logs: io.StringIO
) -> None:
    serve(handler, Rejected())

    handler.handler(created(), Context())

    assert len(jobs(handler)) == 1
    (line,) = map(json.loads, logs.getvalue().splitlines())
    assert (line["level"], line["reason"]) == ("WARNING", "server_refuses")


def test_a_folder_is_nothing_to_do(handler: ModuleType) -> None:
    server = serve(handler)

    handler.handler(created("uploads/2026/"), Context())

    assert (server.asked, jobs(handler)) == (0, [])


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"hello": "world"}, "UnknownEvent"),
        (created("users/ann/audio/sessions/monday/chunk-final.webm"), "NotARecording"),
        (created(bucket="somebody-elses"), "ForeignBucket"),
    ],
)
def test_an_event_that_is_refused_is_kept_and_no_error_of_the_function(
    handler: ModuleType, capsys: pytest.CaptureFixture[str], event: dict[str, Any], error: str
) -> None:
    handler.handler(event, Context())

    (kept,) = undelivered(handler)
    assert kept["requestPayload"] == event
    assert kept["responsePayload"]["errorType"] == error
    assert counted(capsys) == {"EventsRefused": [1.0]}


def test_an_event_that_is_too_long_to_be_kept_is_kept_by_its_id(handler: ModuleType) -> None:
    handler.handler(created("elsewhere/" + "é" * 200_000), Context())

    (kept,) = undelivered(handler)
    assert kept["requestPayload"] == {"id": EVENT_ID}


def test_a_queue_that_refuses_fails_the_invocation_so_that_it_is_repeated(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.sqs.delete_queue(QueueUrl=handler.settings.jobs_queue_url)

    with pytest.raises(ClientError):
        handler.handler(created(), Context())

    assert counted(capsys) == {"EventsFailed": [1.0]}


def test_a_bucket_that_does_not_answer_fails_the_invocation_so_that_it_is_repeated(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(handler, Transcribed())

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")

    monkeypatch.setattr(handler.s3, "head_object", refuse)

    with pytest.raises(ClientError, match="403"):
        handler.handler(created(), Context())

    assert server.given == []


# --- what is logged -----------------------------------------------------------------------------


def test_names_of_recordings_are_not_logged(
    handler: ModuleType, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(handler, NoAnswer(), Rejected())

    handler.handler(created(), Context())
    handler.handler(created(f"elsewhere/{KEY}"), Context())

    printed = logs.getvalue() + capsys.readouterr().out
    assert EVENT_ID in printed
    assert "secret" not in printed


def test_a_wrong_setting_does_not_quote_the_environment(handler: ModuleType) -> None:
    with pytest.raises(ValidationError) as caught:
        handler.Settings.model_validate({"AWS_SECRET_ACCESS_KEY": "abc", "AUTH_TOKEN": "short"})

    assert "JOBS_QUEUE_URL" in str(caught.value)
    assert "AUTH_TOKEN" in str(caught.value)
    assert "abc" not in str(caught.value)
    assert "'short'" not in str(caught.value)


def test_two_variables_name_the_server_of_the_function(handler: ModuleType) -> None:
    usual = {
        "JOBS_QUEUE_URL": "https://queue",
        "UNDELIVERED_QUEUE_URL": "https://queue",
        "RECORDINGS_BUCKET": BUCKET,
    }
    settings = handler.Settings.model_validate

    assert settings(usual).create_client() is None
    assert settings(usual | {"GPU_URL": "http://server:8000"}).create_client() is not None
    made = settings(usual | {"GPU_URL": "http://server:8000", "AUTH_TOKEN": "0123456789abcdef"})
    assert "0123456789abcdef" not in repr(made)
