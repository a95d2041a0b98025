"""The smoke check: what it takes for well, for busy and for broken."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from client.errors import ConnectionLost, Refused
from scripts import smoke, smoke_checks
from scripts.smoke_checks import Finding, Verdict, gpu, live, recording
from transcripts.protocol import ErrorCode
from transcripts.recordings.keys import CHECK, CHECK_KEY, FAILURE, beside

pytestmark = pytest.mark.unit

BUCKET = "recordings"


@dataclass
class Cloud:
    """A bucket and a queue in memory, and what happens while the check waits."""

    s3: Any
    sqs: Any
    outputs: dict[str, str]
    #: Done at every pause: the router's part.
    meanwhile: Callable[[], object] = lambda: None

    def send(self, key: str) -> None:
        self.sqs.send_message(
            QueueUrl=self.outputs["JobsQueueUrl"], MessageBody=json.dumps({"key": key})
        )

    def jobs(self) -> list[str]:
        found = self.sqs.receive_message(
            QueueUrl=self.outputs["JobsQueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [json.loads(each["Body"])["key"] for each in found.get("Messages", [])]

    def objects(self) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        sqs = boto3.client("sqs", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        queue = sqs.create_queue(QueueName="jobs")["QueueUrl"]
        made = Cloud(s3, sqs, {"RecordingsBucketName": BUCKET, "JobsQueueUrl": queue})
        now = iter(range(0, 100_000, 5))
        clock = SimpleNamespace(
            monotonic=lambda: float(next(now)), sleep=lambda _: made.meanwhile()
        )
        monkeypatch.setattr(smoke_checks, "time", clock)
        monkeypatch.setattr(smoke_checks, "LOOK_SECONDS", 0)
        monkeypatch.setattr(smoke_checks, "connect", {"s3": s3, "sqs": sqs}.__getitem__)
        yield made


def put(cloud: Cloud, key: str, document: Mapping[str, object]) -> None:
    cloud.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())


def test_a_recording_that_is_transcribed_is_well_and_leaves_nothing(cloud: Cloud) -> None:
    cloud.meanwhile = lambda: put(cloud, CHECK.transcript_key, {})

    assert recording(cloud.outputs).verdict is Verdict.OK
    assert cloud.objects() == []


def test_a_transcript_of_an_earlier_check_is_not_taken_for_this_ones(cloud: Cloud) -> None:
    put(cloud, CHECK.transcript_key, {})

    assert recording(cloud.outputs).verdict is Verdict.FAILED


def test_a_failed_recording_is_reported_with_its_cause(cloud: Cloud) -> None:
    failure = beside(CHECK.transcript_key, FAILURE)
    cloud.meanwhile = lambda: put(cloud, failure, {"code": "not_audio", "message": "no sound"})

    assert recording(cloud.outputs) == Finding("recording", Verdict.FAILED, "not_audio: no sound")
    assert cloud.objects() == []


def once(act: Callable[[], object]) -> Callable[[], object]:
    left = [act]
    return lambda: left.pop()() if left else None


def test_a_job_that_nobody_works_off_is_accepted_and_taken_back(cloud: Cloud) -> None:
    cloud.meanwhile = once(lambda: cloud.send(CHECK_KEY))

    assert recording(cloud.outputs).verdict is Verdict.OK
    assert cloud.jobs() == []


def test_jobs_of_others_are_not_touched(cloud: Cloud) -> None:
    cloud.send("uploads/theirs.wav")
    cloud.meanwhile = once(lambda: cloud.send(CHECK_KEY))

    assert recording(cloud.outputs) == Finding(
        "recording", Verdict.OK, "queued: a server is to transcribe it"
    )
    assert sorted(cloud.jobs()) == ["uploads/theirs.wav", CHECK_KEY]


def test_where_a_server_works_the_queue_off_its_job_stays(cloud: Cloud) -> None:
    cloud.meanwhile = once(lambda: cloud.send(CHECK_KEY))

    assert recording({**cloud.outputs, "GpuService": "gpu"}).verdict is Verdict.OK
    assert cloud.jobs() == [CHECK_KEY]


def test_a_recording_that_nobody_notices_fails_with_where_to_look(cloud: Cloud) -> None:
    found = recording(cloud.outputs)

    assert found.verdict is Verdict.FAILED
    assert "log of the function `router`" in found.text
    assert cloud.objects() == []


def test_the_region_is_that_of_aws_region_as_in_other_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "other")

    assert smoke_checks.connect("sqs").meta.region_name == "eu-central-1"


def test_what_aws_refuses_names_the_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    monkeypatch.setattr(smoke_checks, "connect", refuse)

    found = recording({"RecordingsBucketName": BUCKET, "JobsQueueUrl": "q"})
    assert found.verdict is Verdict.FAILED
    assert "PutObject" in found.text
    assert "infra/delivery/roles.py" in found.text


@pytest.mark.parametrize(
    ("described", "verdict", "words"),
    [
        ({"runningCount": 0, "desiredCount": 0}, Verdict.OK, "none is needed"),
        ({"runningCount": 2, "desiredCount": 2}, Verdict.OK, "2 of 2"),
        (
            {"runningCount": 0, "desiredCount": 1, "events": [{"message": "no capacity"}]},
            Verdict.NOTE,
            "no capacity",
        ),
        (
            {"runningCount": 0, "desiredCount": 1, "deployments": [{"rolloutState": "FAILED"}]},
            Verdict.FAILED,
            "deployment failed",
        ),
        ({"runningCount": 0, "desiredCount": 0, "status": "INACTIVE"}, Verdict.FAILED, "no such"),
    ],
)
def test_the_gpu_is_as_ecs_describes_it(
    described: dict[str, Any], verdict: Verdict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ecs:
        def describe_services(self, **_: object) -> dict[str, Any]:
            return {"services": [{"status": "ACTIVE", **described}]}

    monkeypatch.setattr(smoke_checks, "connect", lambda _: Ecs())

    found = gpu({"GpuCluster": "c", "GpuService": "s"})
    assert found.verdict is verdict
    assert words in found.text


def test_without_a_gpu_nothing_is_asked() -> None:
    assert gpu({}).verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Refused(ErrorCode.AT_CAPACITY, "full"), Verdict.NOTE),
        (Refused(ErrorCode.RATE_LIMITED, "too many"), Verdict.NOTE),
        (Refused(ErrorCode.UNSUPPORTED_LANGUAGE, "only de-DE"), Verdict.NOTE),
        (Refused(ErrorCode.ENGINE_FAILED, "no rights"), Verdict.FAILED),
        (Refused(ErrorCode.DRAINING, "ends"), Verdict.FAILED),
        (ConnectionLost("it broke"), Verdict.FAILED),
    ],
)
async def test_a_service_that_is_full_is_no_failure_and_one_that_fails_is(
    error: Exception, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> Finding:
        raise error

    monkeypatch.setattr(smoke_checks, "_speak", refuse)
    monkeypatch.setattr(smoke_checks, "LIVE_SECONDS", 0.1)

    assert (await live("https://words.example.org")).verdict is verdict


async def test_a_place_that_becomes_free_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Finding | Refused] = [
        Refused(ErrorCode.AT_CAPACITY, "full", 0.01),
        Finding("live", Verdict.OK, "words"),
    ]

    async def speak(*_: object) -> Finding:
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    monkeypatch.setattr(smoke_checks, "_speak", speak)

    assert (await live("https://words.example.org")).verdict is Verdict.OK


# --- the page and the command -------------------------------------------------------------------


def test_a_service_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(smoke, "complaint", lambda *_: None if len(waits) > 1 else "not yet")

    found = smoke.page("https://words.example.org", sleep=waits.append)
    assert found.verdict is Verdict.OK
    assert len(waits) == 2


def test_a_service_that_never_comes_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "complaint", lambda *_: "no")

    assert smoke.page("https://words.example.org", patience=0).verdict is Verdict.FAILED


@pytest.mark.parametrize("text", ["[]", "{", '{"stack": 5}'])
def test_a_file_that_is_not_the_cdks_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "outputs.json").write_text(text)

    with pytest.raises(SystemExit) as left:
        smoke.main([str(tmp_path / "outputs.json")])

    assert left.value.code == 2


def test_one_failure_fails_the_whole_and_json_has_every_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs.json").write_text('{"web": {"Url": "https://words.example.org/"}}')
    monkeypatch.setattr(smoke, "complaint", lambda *_: None)
    broken = Finding("live", Verdict.FAILED, "no words")

    async def speak(*_: object) -> Finding:
        return broken

    async def access(*_: object) -> Finding:
        return Finding("access", Verdict.NOTE, "open")

    monkeypatch.setattr(smoke, "speak", speak)
    monkeypatch.setattr(smoke, "access", access)

    assert smoke.main([str(tmp_path / "outputs.json"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["url"] == "https://words.example.org"
    assert {each["check"]: each["verdict"] for each in report["checks"]} == {
        "page": "ok",
        "access": "note",
        "live": "failed",
        "recording": "skipped",
        "gpu": "skipped",
    }


@pytest.mark.parametrize(
    "url", ["foo", "", "ftp://words.example.org", "http://", "http://a:port", "http://[::1", "//a"]
)
def test_what_is_no_address_is_refused_in_words(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs.json").write_text('{"web": {"Url": "foo"}}')

    with pytest.raises(SystemExit) as left:
        smoke.main([str(tmp_path / "outputs.json"), "--url", url])

    assert left.value.code == 2
    assert "is no address of a page" in capsys.readouterr().err


async def test_without_an_address_what_needs_one_is_skipped_with_the_way_to_give_one() -> None:
    found = await smoke.findings(None, {}, patience=0)

    assert [(each.check, each.verdict) for each in found[:3]] == [
        ("page", Verdict.SKIPPED),
        ("access", Verdict.SKIPPED),
        ("live", Verdict.SKIPPED),
    ]
    assert all("--url" in each.text for each in found[:3])


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("https://words.example.org", False),
        ("https://10.0.0.1", False),
    ],
)
def test_ecs_is_named_only_where_it_may_have_a_part(
    url: str, *, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "complaint", lambda *_: "no")

    assert ("ECS" in smoke.page(url, patience=0).text) is not here


def test_a_name_that_no_host_can_have_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)

    assert smoke.complaint("http://long.example.org", b"") == (
        "http://long.example.org: label too long"
    )
