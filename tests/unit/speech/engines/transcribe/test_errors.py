from __future__ import annotations

import pytest

from speech.engines.errors import EngineCrashed, EngineError, EngineUnavailable
from speech.engines.transcribe.errors import (
    AccessDenied,
    AudioTimedOut,
    CredentialsExpired,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
    SessionConflict,
    Throttled,
    redact,
    to_engine_error,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kind", "text", "status", "expected", "retryable"),
    [
        ("BadRequestException", "Bad vocabulary.", None, RequestRefused, False),
        ("BadRequestException", "timed out because no new audio was received for 15 seconds",
         None, AudioTimedOut, True),
        ("ConflictException", "", None, SessionConflict, True),
        ("LimitExceededException", "Too many streams.", None, Throttled, True),
        ("InternalFailureException", "", None, ServiceFailed, True),
        ("ServiceUnavailableException", "", None, ServiceUnavailable, True),
        ("ThrottlingException", "Rate exceeded", 400, Throttled, True),
        ("", "", 429, Throttled, True),
        ("", "", 409, SessionConflict, True),
        ("", "", 400, RequestRefused, False),
        ("", "", 404, RequestRefused, False),
        ("", "", 403, AccessDenied, False),
        ("", "", 500, ServiceUnavailable, True),
        ("", "", 503, ServiceUnavailable, True),
        ("", "", 302, RequestRefused, False),
        ("ExpiredTokenException", "", 403, CredentialsExpired, True),
        ("UnrecognizedClientException", "The security token included in the request is expired",
         403, CredentialsExpired, True),
        ("UnrecognizedClientException", "The security token is invalid", 403, AccessDenied, False),
        ("InvalidSignatureException:http://x/", "", 403, AccessDenied, False),
        ("com.amazon#AccessDeniedException", "", None, AccessDenied, False),
        ("SomethingNew", "", None, ServiceFailed, True),
    ],
)  # fmt: skip
def test_each_error_of_the_service_has_its_name_and_its_verdict(
    kind: str,
    text: str,
    status: int | None,
    expected: type[EngineError],
    retryable: bool,  # noqa: FBT001 - a table
) -> None:
    error = to_engine_error(kind, text, status=status)

    assert type(error) is expected
    assert error.retryable is retryable
    assert isinstance(error, EngineUnavailable | EngineCrashed | RequestRefused)


@pytest.mark.parametrize(
    "text",
    [
        "The Canonical String for this request should have been 'GET /stream'",
        "bad X-Amz-Security-Token=abc",
        "see wss://host/stream-transcription-websocket?a=b",
        "key AKIAIOSFODNN7EXAMPLE is unknown",
        "key ASIAIOSFODNN7EXAMPLE is unknown",
        "AWS4-HMAC-SHA256 Credential=me",
        "User: arn:aws:sts::123456789012:assumed-role/task",
        "no access for account 123456789012",
    ],
)
def test_a_text_that_quotes_the_request_is_withheld(text: str) -> None:
    assert text not in redact(text)
    assert text.rsplit(maxsplit=1)[-1] not in str(
        to_engine_error("BadRequestException", text, status=400)
    )
    assert text.rsplit(maxsplit=1)[-1] not in str(to_engine_error(text, ""))


def test_a_text_is_cut_and_stays_on_one_line() -> None:
    redacted = redact("a\nb\r\n" + "c" * 1_000)

    assert redacted.startswith("a b c")
    assert len(redacted) == 200
