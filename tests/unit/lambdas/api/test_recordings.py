"""Recordings of people: uploads in moto's bucket, what is refused, and what a crash leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import boto3
import jwt
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from access.messages import FIRST_PARTS, MOST_OPEN_UPLOADS, MOST_PARTS, RECORDINGS_PAGE, ROOT
from access.parts import PART_BYTES
from access.records import MOST_RECORDING_BYTES, RecordingRecord, UploadState
from access.secret import make_id
from access.store import AccessTable
from access.tokens import Issuer, IssuerKeys, TokenVerifier, person_id
from lambdas.api.conversations import Conversations
from lambdas.api.identity import Identification
from lambdas.api.people import People
from lambdas.api.recordings import UPLOAD_LASTS, Recordings
from lambdas.api.recordings_bucket import (
    PART_SECONDS,
    SIGNING,
    TRANSCRIPT_SECONDS,
    RecordingsBucket,
)
from lambdas.api.routes import make_app
from tests.support.access import CLIENT, ISSUER, NOW, issuer_key, key_set
from tests.support.tables import access_table_definition
from transcripts.recordings.keys import Upload, recording

pytestmark = pytest.mark.unit

BUCKET = "recordings-of-people"
REGION: Final = "eu-central-1"
#: Two parts, the second one of seven bytes.
SIZE = PART_BYTES + 7
NEW = {"title": "Board meeting", "fileName": "board.wav", "size": SIZE, "contentType": "audio/wav"}


class Context:
    aws_request_id = "request"
    function_name = "api"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:api"


@dataclass(slots=True)
class Site:
    """The API with its table and bucket, and a clock."""

    table: AccessTable
    s3: Any
    lasts: timedelta | None = timedelta(days=7)
    now: datetime = NOW
    app: Any = None

    def start(self) -> None:
        issuer = Issuer(issuer=ISSUER, audience=frozenset({CLIENT}), is_cognito=True)
        verifier = TokenVerifier(issuer, IssuerKeys(lambda: key_set(issuer_key()), lambda: 0.0))
        self.app = make_app(
            Identification(self.table, verifier),
            Conversations(self.table, cast("Any", None), lambda: self.now),
            People(ISSUER, self.table, None, "", "admins"),
            Recordings(
                self.table,
                RecordingsBucket(BUCKET, lambda: self.s3),
                self.lasts,
                lambda: self.now,
            ),
        )

    def request(
        self, method: str, path: str, body: Any = None, by: str | None = None, **query: str
    ) -> tuple[int, Any]:
        headers = {"content-type": "application/json"}
        if by is not None:
            headers["authorization"] = f"Bearer {by}"
        found = self.app.resolve(
            {
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": f"{ROOT}{path}",
                "rawQueryString": "",
                "queryStringParameters": query or None,
                "headers": headers,
                "requestContext": {
                    "http": {"method": method, "path": f"{ROOT}{path}", "sourceIp": "192.0.2.1"},
                    "stage": "$default",
                    "requestId": "r",
                },
                "body": None if body is None else json.dumps(body),
                "isBase64Encoded": False,
            },
            Context(),
        )
        return found["statusCode"], json.loads(found.get("body") or "null")

    def refusal(self, *arguments: Any, **query: str) -> tuple[int, str]:
        status, body = self.request(*arguments, **query)
        return status, body["reason"] if body and "reason" in body else ""

    def create(self, by: str, **values: Any) -> str:
        status, body = self.request("POST", "/recordings", NEW | values, by)
        assert status == 201, body
        return str(body["recording"]["recordingId"])

    def record(self, of: str, id_: str) -> RecordingRecord:
        record = self.table.find_recording(who(of), id_)
        assert record is not None
        return record

    def put(self, of: str, id_: str, *sizes: int) -> None:
        """Send parts as S3 gets them by their addresses."""
        for number, size in enumerate(sizes, 1):
            self.s3.upload_part(
                Bucket=BUCKET,
                Key=key_of(of, id_),
                UploadId=self.record(of, id_).upload_id,
                PartNumber=number,
                Body=b"x" * size,
            )

    def upload(self, of: str, **values: Any) -> str:
        """Return the id of a recording that is complete."""
        by = token(of)
        id_ = self.create(by, size=9, **values)
        self.put(of, id_, 9)
        assert self.request("POST", f"/recordings/{id_}/complete", None, by)[0] == 200
        return id_

    def store(self, key: str, document: Any = None) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())

    def state(self, id_: str, by: str) -> str:
        status, body = self.request("GET", f"/recordings/{id_}", None, by)
        assert status == 200
        return str(body["state"])


def token(subject: str, **claims: Any) -> str:
    return issuer_key().sign(sub=subject, **claims)


def who(subject: str) -> str:
    return person_id(ISSUER, subject)


def key_of(of: str, id_: str) -> str:
    return f"uploads/people/{who(of)}/{id_}/audio"


ADA, GRACE = token("ada"), token("grace")
ADMINISTRATOR = token("root", **{"cognito:groups": ["admins"]})


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[Any, Any]]:
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION, config=Config(**SIGNING))
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield boto3.client("dynamodb", region_name=REGION), s3


@pytest.fixture
def site(aws: tuple[Any, Any], request: pytest.FixtureRequest) -> Site:
    dynamodb, s3 = aws
    name = f"access-{abs(hash(request.node.nodeid))}"
    dynamodb.create_table(**access_table_definition(name))
    made = Site(AccessTable(name, dynamodb), s3)
    made.start()
    return made


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(jwt.api_jwt.datetime):  # type: ignore[misc,name-defined]  # PyJWT has no clock
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOW.astimezone(tz)

    monkeypatch.setattr(jwt.api_jwt, "datetime", Clock)


@pytest.fixture(autouse=True)
def _log_nothing_private(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, "lambdas")
    caplog.set_level(logging.DEBUG, "access")
    yield
    for private in ("Board", "board", "X-Amz-Signature", "uploads/people"):
        assert private not in caplog.text


# --- the way of an upload ---------------------------------------------------------------------


def test_a_recording_is_uploaded_in_parts_and_belongs_to_its_person(site: Site) -> None:
    status, begun = site.request("POST", "/recordings", NEW, ADA)
    assert status == 201
    assert begun["partBytes"] == PART_BYTES
    assert begun["partCount"] == 2
    assert [(part["number"], part["size"]) for part in begun["parts"]] == [(1, PART_BYTES), (2, 7)]
    id_ = begun["recording"]["recordingId"]
    assert site.state(id_, ADA) == "uploading"

    site.put("ada", id_, PART_BYTES, 7)
    status, seen = site.request("POST", f"/recordings/{id_}/complete", None, ADA)

    assert (status, seen["state"]) == (200, "waiting")
    there = site.s3.head_object(Bucket=BUCKET, Key=key_of("ada", id_))
    assert there["ContentLength"] == SIZE
    assert there["ContentType"] == "audio/wav"
    # The bucket knows neither a title nor a file's name.
    assert there["Metadata"] == {"person": who("ada"), "recording": id_}
    # The router takes it like every upload.
    assert recording(key_of("ada", id_)) == Upload(path=f"people/{who('ada')}/{id_}/audio")
    listed = site.request("GET", "/recordings", None, ADA)[1]["recordings"]
    assert [(each["recordingId"], each["state"]) for each in listed] == [(id_, "waiting")]
    assert listed[0]["title"] == "Board meeting"


def test_a_recording_has_the_state_that_the_bucket_shows(site: Site) -> None:
    id_ = site.upload("ada")
    base = f"transcripts/{key_of('ada', id_)}"
    etag = site.s3.head_object(Bucket=BUCKET, Key=key_of("ada", id_))["ETag"]
    transcript = f"/recordings/{id_}/transcript"

    assert site.refusal("GET", transcript, None, ADA) == (409, "recording_waiting")
    site.store(f"{base}.failed", {"etag": '"other"', "code": "empty", "message": "old"})
    assert site.state(id_, ADA) == "waiting"
    site.store(f"{base}.failed", {"etag": etag, "code": "not_audio", "message": "No audio."})
    seen = site.request("GET", f"/recordings/{id_}", None, ADA)[1]
    assert seen["state"] == "failed"
    assert seen["failure"] == {"code": "not_audio", "message": "No audio."}
    status, problem = site.request("GET", transcript, None, ADA)
    assert (status, problem["reason"]) == (409, "recording_failed")
    assert problem["detail"] == "No audio."
    site.store(f"{base}.json", {})
    assert site.state(id_, ADA) == "transcribed"

    for key in (key_of("ada", id_), f"{base}.failed", f"{base}.json"):
        site.s3.delete_object(Bucket=BUCKET, Key=key)
    assert site.state(id_, ADA) == "gone"
    assert site.refusal("GET", transcript, None, ADA) == (409, "recording_gone")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"etag": 3}', b"x" * 70_000])
def test_a_failure_that_cannot_be_read_hides_no_recording(site: Site, content: bytes) -> None:
    id_ = site.upload("ada")
    key = f"transcripts/{key_of('ada', id_)}.failed"
    site.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    assert site.state(id_, ADA) == "waiting"


@pytest.mark.parametrize("kind", ["json", "srt", "vtt", "txt"])
def test_a_transcript_has_an_address_for_five_minutes(site: Site, kind: str) -> None:
    id_ = site.upload("ada")
    site.store(f"transcripts/{key_of('ada', id_)}.json", {})

    status, found = site.request("GET", f"/recordings/{id_}/transcript", None, ADA, format=kind)

    assert (status, found["secondsLeft"]) == (200, TRANSCRIPT_SECONDS)
    assert TRANSCRIPT_SECONDS <= 300
    address = urlsplit(found["address"])
    assert address.hostname == f"{BUCKET}.s3.{REGION}.amazonaws.com"
    assert address.path == f"/transcripts/{key_of('ada', id_)}.{kind}"
    assert parse_qs(address.query)["X-Amz-Expires"] == [str(TRANSCRIPT_SECONDS)]
    assert "oard" not in found["address"]


def test_another_format_is_refused(site: Site) -> None:
    id_ = site.upload("ada")
    wanted = f"/recordings/{id_}/transcript"
    assert site.refusal("GET", wanted, None, ADA, format="audio") == (422, "invalid")


def test_recordings_are_listed_newest_first_page_by_page(site: Site) -> None:
    made = []
    for number in range(RECORDINGS_PAGE + 3):
        site.now = NOW + timedelta(seconds=number)
        made.append(site.upload("ada", title=f"Number {number}"))

    first = site.request("GET", "/recordings", None, ADA)[1]
    second = site.request("GET", "/recordings", None, ADA, cursor=first["cursor"])[1]

    found = [each["recordingId"] for page in (first, second) for each in page["recordings"]]
    assert found == made[::-1]
    assert second.get("cursor") is None


# --- addresses --------------------------------------------------------------------------------


def sign_again(address: str, length: int) -> str:
    """Return the signature of the request to an address with a length, as S3 computes it."""
    url = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    signed = query["X-Amz-SignedHeaders"].split(";")
    headers = {"content-length": str(length), "host": url.netloc}
    request = AWSRequest(
        "PUT",
        f"https://{url.netloc}{url.path}",
        headers={name: headers[name] for name in signed},
        params={name: value for name, value in query.items() if name != "X-Amz-Signature"},
    )
    request.context["timestamp"] = query["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials("testing", "testing"), "s3", REGION)
    return str(
        auth.signature(
            auth.string_to_sign(request, auth.canonical_request(request)),
            request,
        )
    )


def test_an_address_is_signed_for_one_part_and_its_length(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = site.request("POST", "/recordings", NEW, ADA)[1]
    id_ = begun["recording"]["recordingId"]

    credentials = site.s3._request_signer._credentials
    monkeypatch.setattr(f"{__name__}.Credentials", lambda *_: credentials)
    for part in begun["parts"]:
        url = urlsplit(part["address"])
        query = parse_qs(url.query)
        assert url.hostname == f"{BUCKET}.s3.{REGION}.amazonaws.com"
        assert url.path == f"/{key_of('ada', id_)}"
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
        assert query["X-Amz-Expires"] == [str(PART_SECONDS)]
        assert query["partNumber"] == [str(part["number"])]
        assert query["uploadId"] == [site.record("ada", id_).upload_id]
        assert PART_SECONDS <= 900
        [signature] = query["X-Amz-Signature"]
        assert sign_again(part["address"], part["size"]) == signature
        assert sign_again(part["address"], part["size"] + 1) != signature
        elsewhere = part["address"].replace(who("ada"), who("grace"))
        assert sign_again(elsewhere, part["size"]) != signature
        assert sign_again(part["address"].replace("partNumber=", "partNumber=9"), part["size"]) != (
            signature
        )


def test_addresses_are_given_for_parts_that_there_are(site: Site) -> None:
    id_ = site.create(ADA, size=200 * PART_BYTES)
    path = f"/recordings/{id_}/parts"

    status, found = site.request("POST", path, {"numbers": [200, 3, 3]}, ADA)
    assert (status, found["secondsLeft"]) == (200, PART_SECONDS)
    assert [part["number"] for part in found["parts"]] == [3, 200]
    most = list(range(1, MOST_PARTS + 1))
    assert site.request("POST", path, {"numbers": most}, ADA)[0] == 200
    for wrong in ([], [0], [-1], [201], [1.5], ["a"], [*most, 101], None):
        assert site.refusal("POST", path, {"numbers": wrong}, ADA) == (422, "invalid")


def test_a_large_upload_begins_with_its_first_addresses(site: Site) -> None:
    status, begun = site.request("POST", "/recordings", NEW | {"size": MOST_RECORDING_BYTES}, ADA)

    assert (status, begun["partCount"]) == (201, 256)
    assert len(begun["parts"]) == FIRST_PARTS


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": MOST_RECORDING_BYTES + 1},
        {"size": "many"},
        {"title": ""},
        {"title": "x" * 201},
        {"title": "a\u202eb"},
        {"fileName": "x" * 256},
        {"fileName": "a\nb"},
        {"contentType": "text/html"},
        {"contentType": "image/svg+xml"},
        {"contentType": "audio/"},
        {"contentType": "audio/wav; x=y"},
        {"contentType": "audio/wav\r\nx-amz-acl: public-read"},
        {"owner": "somebody"},
        {"recordingId": "a" * 26},
        {"key": "uploads/x"},
    ],
)
def test_an_upload_out_of_bounds_is_refused_and_begins_nothing(
    site: Site, wrong: dict[str, Any]
) -> None:
    before = open_uploads(site)

    assert site.refusal("POST", "/recordings", NEW | wrong, ADA) == (422, "invalid")
    assert open_uploads(site) == before


def open_uploads(site: Site) -> int:
    return len(site.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


def test_a_person_has_so_many_open_uploads(site: Site) -> None:
    made = [site.create(ADA) for _ in range(MOST_OPEN_UPLOADS)]
    before = open_uploads(site)

    assert site.refusal("POST", "/recordings", NEW, ADA) == (429, "too_many")
    assert open_uploads(site) == before
    site.create(GRACE)
    assert site.request("DELETE", f"/recordings/{made[0]}", None, ADA)[0] == 204
    site.create(ADA)
    assert site.refusal("POST", "/recordings", NEW, ADA) == (429, "too_many")
    # Those of yesterday count no more.
    site.now = NOW + UPLOAD_LASTS
    assert site.table.count_open_uploads(who("ada"), site.now, limit=200) == 0


# --- others -----------------------------------------------------------------------------------

#: Every route of one recording, and what it takes.
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("POST", "/parts", {"numbers": [1]}),
    ("POST", "/complete", None),
    ("GET", "/transcript", None),
]


@pytest.mark.parametrize(("method", "end", "body"), ROUTES)
@pytest.mark.parametrize("is_complete", [False, True])
def test_a_foreign_recording_is_as_unknown_as_one_that_is_not(
    site: Site, method: str, end: str, body: Any, *, is_complete: bool
) -> None:
    id_ = site.upload("ada") if is_complete else site.create(ADA)
    site.store(f"transcripts/{key_of('ada', id_)}.json", {})
    before = site.record("ada", id_)

    for by in (GRACE, ADMINISTRATOR):
        foreign = site.request(method, f"/recordings/{id_}{end}", body, by)
        unknown = site.request(method, f"/recordings/{make_id()}{end}", body, by)
        assert foreign == unknown
        assert foreign[0] == 404
        assert foreign[1]["reason"] == "recording_not_found"
    assert site.record("ada", id_) == before
    assert site.request("GET", "/recordings", None, GRACE)[1]["recordings"] == []


@pytest.mark.parametrize(("method", "end", "body"), [*ROUTES, ("GET", "?", None)])
def test_nobody_and_guests_are_refused(site: Site, method: str, end: str, body: Any) -> None:
    path = "/recordings" if end == "?" else f"/recordings/{site.create(ADA)}{end}"

    guest = f"csl_{'a' * 26}_{'b' * 26}"
    for by in (None, guest):
        assert site.refusal(method, path, body, by) == (401, "not_signed_in")
    assert site.refusal("POST", "/recordings", NEW, guest) == (401, "not_signed_in")


@pytest.mark.parametrize(
    "id_", ["", "..", "a", "A" * 26, "a" * 27, f"{'a' * 26}%2F..", "a" * 25 + "1"]
)
def test_what_is_no_id_leads_nowhere(site: Site, id_: str) -> None:
    status, _ = site.refusal("POST", f"/recordings/{id_}/complete", None, ADA)

    assert status in {404, 422}


def test_a_cursor_leads_to_ones_own_recordings_only(site: Site) -> None:
    id_ = site.upload("ada")
    last = f"9999-01-01T00:00:00.000Z#{id_}"
    for cursor in ("a", last, f"{last}#x", f"../recordings#{last}", "recording#"):
        seen = site.request("GET", "/recordings", None, GRACE, cursor=cursor)
        assert (seen[0], seen[1]["recordings"]) == (200, [])
    assert site.refusal("GET", "/recordings", None, ADA, cursor="x" * 201) == (422, "invalid")


def test_keys_upload_and_read_by_their_scopes(site: Site) -> None:
    def key(*scopes: str) -> str:
        made = site.request("POST", "/keys", {"label": "program", "scopes": scopes}, ADA)[1]
        return str(made["secret"])

    reads, speaks, manages = key("read"), key("speak"), key("manage")
    id_ = site.create(manages)

    assert site.state(id_, reads) == "uploading"
    for other in (reads, speaks):
        assert site.refusal("POST", "/recordings", NEW, other) == (403, "scope_missing")
    for method, end, body in ROUTES:
        path = f"/recordings/{id_}{end}"
        wrong = [speaks, manages if method == "GET" else reads]
        for other in wrong:
            assert site.refusal(method, path, body, other) == (403, "scope_missing")


def test_a_blocked_person_cannot_complete_what_was_begun(site: Site) -> None:
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    site.table.set_blocked(who("ada"), is_blocked=True)

    for method, end, body in ROUTES:
        assert site.refusal(method, f"/recordings/{id_}{end}", body, ADA) == (403, "blocked")
    assert site.refusal("POST", "/recordings", NEW, ADA) == (403, "blocked")
    assert "Contents" not in site.s3.list_objects_v2(Bucket=BUCKET, Prefix=key_of("ada", id_))


# --- sizes, repetitions, crashes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "named"),
    [((), "1, 2"), ((PART_BYTES,), "2"), ((PART_BYTES, 6), "2"), ((PART_BYTES, 8), "2")],
)
def test_sizes_that_do_not_add_up_complete_nothing(
    site: Site, sizes: tuple[int, ...], named: str
) -> None:
    id_ = site.create(ADA)
    site.put("ada", id_, *sizes)

    status, problem = site.request("POST", f"/recordings/{id_}/complete", None, ADA)

    assert (status, problem["reason"]) == (409, "parts_missing")
    assert problem["detail"].endswith(f": {named}.")
    # It stays open, and can be completed once the parts are right.
    site.put("ada", id_, PART_BYTES, 7)
    assert site.request("POST", f"/recordings/{id_}/complete", None, ADA)[0] == 200


def test_completing_again_answers_the_same_and_makes_nothing_anew(site: Site) -> None:
    id_ = site.upload("ada")
    etag = site.s3.head_object(Bucket=BUCKET, Key=key_of("ada", id_))["LastModified"]
    before = site.record("ada", id_)

    for _ in range(2):
        status, seen = site.request("POST", f"/recordings/{id_}/complete", None, ADA)
        assert (status, seen["state"]) == (200, "waiting")
    assert site.record("ada", id_) == before
    assert site.s3.head_object(Bucket=BUCKET, Key=key_of("ada", id_))["LastModified"] == etag
    refused = site.refusal("POST", f"/recordings/{id_}/parts", {"numbers": [1]}, ADA)
    assert refused == (409, "upload_over")
    assert site.refusal("DELETE", f"/recordings/{id_}", None, ADA) == (409, "uploaded")
    assert site.state(id_, ADA) == "waiting"


def test_an_upload_is_aborted_once_and_for_all(site: Site) -> None:
    id_ = site.create(ADA)
    site.put("ada", id_, PART_BYTES, 7)
    record = site.record("ada", id_)

    for _ in range(2):
        assert site.request("DELETE", f"/recordings/{id_}", None, ADA)[0] == 204
    assert site.state(id_, ADA) == "aborted"
    with pytest.raises(ClientError, match="NoSuchUpload"):
        site.s3.list_parts(Bucket=BUCKET, Key=key_of("ada", id_), UploadId=record.upload_id)
    for end, body in (("/parts", {"numbers": [1]}), ("/complete", None)):
        refused = site.refusal("POST", f"/recordings/{id_}{end}", body, ADA)
        assert refused == (409, "upload_over")


def test_an_upload_is_over_after_a_day(site: Site) -> None:
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    site.now = NOW + UPLOAD_LASTS

    site.start()
    by = ADA
    assert site.state(id_, by) == "aborted"
    refused = site.refusal("POST", f"/recordings/{id_}/parts", {"numbers": [1]}, by)
    assert refused == (409, "upload_over")
    assert site.refusal("POST", f"/recordings/{id_}/complete", None, by) == (409, "upload_over")
    assert "Contents" not in site.s3.list_objects_v2(Bucket=BUCKET, Prefix=key_of("ada", id_))


class Fault:
    """Makes one operation of S3 or DynamoDB fail, before or after it has happened."""

    def __init__(self, client: Any, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._call = getattr(client, operation)
        self.calls = 0
        monkeypatch.setattr(client, operation, self)
        self.is_done_first = False
        self.then: Any = None

    def __call__(self, **arguments: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            if self.is_done_first:
                self._call(**arguments)
            if self.then:
                self.then()
            raise ReadTimeoutError(endpoint_url="aws")
        return self._call(**arguments)


def test_a_crash_between_upload_and_record_leaves_nothing_that_anybody_can_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_uploads(site)
    Fault(site.table._dynamodb, "transact_write_items", monkeypatch)

    assert site.refusal("POST", "/recordings", NEW, ADA) == (503, "unavailable")

    # S3 has an upload without parts, which its lifecycle removes; nobody has an address for it.
    assert open_uploads(site) == before + 1
    assert site.request("GET", "/recordings", None, ADA)[1]["recordings"] == []
    assert site.table.count_open_uploads(who("ada"), site.now, limit=200) == 0


def test_a_lost_answer_of_s3_is_repaired_by_completing_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    Fault(site.s3, "complete_multipart_upload", monkeypatch).is_done_first = True

    refused = site.refusal("POST", f"/recordings/{id_}/complete", None, ADA)
    assert refused == (503, "unavailable")
    assert site.record("ada", id_).upload is UploadState.UPLOADING
    assert site.state(id_, ADA) == "waiting"  # by the bucket
    status, seen = site.request("POST", f"/recordings/{id_}/complete", None, ADA)
    assert (status, seen["state"]) == (200, "waiting")
    assert site.record("ada", id_).upload is UploadState.UPLOADED


def test_a_recording_that_nobody_completes_again_is_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.lasts = None
    site.start()
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    assert expiries(site, id_) == {int((NOW + UPLOAD_LASTS + timedelta(days=1)).timestamp())}
    Fault(site.s3, "complete_multipart_upload", monkeypatch).is_done_first = True

    site.request("POST", f"/recordings/{id_}/complete", None, ADA)

    assert expiries(site, id_) == {None}


def expiries(site: Site, id_: str) -> set[int | None]:
    """Return when the items of a recording of Ada's are deleted."""
    found = site.table._dynamodb.query(
        TableName=site.table._table,
        KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "partition"},
        ExpressionAttributeValues={":p": {"S": f"person#{who('ada')}"}},
    )["Items"]
    ours = [item for item in found if item["sort"]["S"].endswith(id_)]
    assert len(ours) in {2, 3}
    return {int(item["expiresAt"]["N"]) if "expiresAt" in item else None for item in ours}


def test_a_record_ends_with_its_recording(site: Site) -> None:
    id_ = site.upload("ada")

    assert expiries(site, id_) == {int((NOW + timedelta(days=8)).timestamp())}


@pytest.mark.parametrize("operation", ["complete_multipart_upload", "abort_multipart_upload"])
def test_of_completing_and_aborting_at_once_s3_decides(
    site: Site, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The other one comes while the first is at S3."""
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    complete, abort = ("POST", f"/recordings/{id_}/complete"), ("DELETE", f"/recordings/{id_}")
    is_complete = operation.startswith("complete")
    first, other = (complete, abort) if is_complete else (abort, complete)
    call = getattr(site.s3, operation)
    others: list[int] = []

    def interfere(**arguments: Any) -> Any:
        monkeypatch.setattr(site.s3, operation, call)
        others.append(site.request(*other, None, ADA)[0])
        try:
            return call(**arguments)
        except KeyError:  # moto's answer to an upload that it does not have
            raise ClientError({"Error": {"Code": "NoSuchUpload"}}, operation) from None

    monkeypatch.setattr(site.s3, operation, interfere)
    status, body = site.request(*first, None, ADA)

    # The other one was first at S3, and the first one finds that.
    assert others == [204 if is_complete else 200]
    assert status == 409
    assert body["reason"] in {"changed", "upload_over", "uploaded"}
    assert site.state(id_, ADA) == ("aborted" if is_complete else "waiting")


def test_a_part_that_is_replaced_meanwhile_is_not_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = site.create(ADA, size=9)
    site.put("ada", id_, 9)
    call = site.s3.complete_multipart_upload

    def replace(**arguments: Any) -> Any:
        monkeypatch.setattr(site.s3, "complete_multipart_upload", call)
        site.s3.upload_part(
            Bucket=BUCKET,
            Key=key_of("ada", id_),
            UploadId=site.record("ada", id_).upload_id,
            PartNumber=1,
            Body=b"y" * 9,
        )
        return call(**arguments)

    monkeypatch.setattr(site.s3, "complete_multipart_upload", replace)

    refused = site.refusal("POST", f"/recordings/{id_}/complete", None, ADA)
    assert refused == (409, "parts_changed")
    assert site.request("POST", f"/recordings/{id_}/complete", None, ADA)[0] == 200


def test_a_record_in_a_foreign_partition_is_no_ones(site: Site) -> None:
    """An item that somebody wrote wrongly shows no recording of another person."""
    id_ = site.upload("ada")
    item = site.table.read([(f"person#{who('ada')}", f"recording#{id_}")])
    [found] = item.values()
    wrong = {**found, "partition": {"S": f"person#{who('grace')}"}}
    site.table._dynamodb.put_item(TableName=site.table._table, Item=wrong)

    assert site.refusal("GET", f"/recordings/{id_}", None, GRACE) == (503, "unavailable")
