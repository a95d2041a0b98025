"""Amazon's SDK for JavaScript in Node, which speaks HTTP/2 to the local endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.encoded import encode
from tests.support.eventually import eventually
from tests.support.transcribe_js import SCRIPT, WHOLE, Sdk, installed, node, transcribe
from transcribe_endpoint.recognition.script import Script, ScriptFile
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.transports.certificates import Certificates, certificates_in
from transcribe_endpoint.transports.http2 import serve_http2

pytestmark = pytest.mark.integration

SESSION = "01234567-89ab-cdef-0123-456789abcdef"
MEDICAL: dict[str, Any] = {"Specialty": "CARDIOLOGY", "Type": "DICTATION"}


@pytest.fixture(scope="module")
def service() -> TranscribeService:
    installed()
    return transcribe()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(service: TranscribeService, certificates: Certificates) -> AsyncIterator[Sdk]:
    async with (
        serve_http2(service, context=certificates.server_context()) as port,
        node(certificates.authority) as run,
    ):
        yield Sdk(f"https://localhost:{port}", run)


async def test_partials_then_finals_then_the_end(sdk: Sdk) -> None:
    outcome = await sdk.stream(seconds=WHOLE, SessionId=SESSION)

    assert outcome.error is None
    assert outcome.session == SESSION
    assert outcome.finals == SCRIPT
    assert outcome.texts[:3] == ["One", "One two", SCRIPT[0]]
    assert len({result["id"] for result in outcome.results}) == len(SCRIPT)


@pytest.mark.parametrize("end", ["sdk", "event"])
async def test_an_end_within_a_segment_makes_it_final(sdk: Sdk, end: str) -> None:
    outcome = await sdk.stream(end=end)

    assert outcome.error is None
    assert outcome.finals == ["One two"]


async def test_temporary_keys_are_taken(sdk: Sdk) -> None:
    outcome = await sdk.stream(token="a-token")  # noqa: S106 - made up

    assert outcome.finals == ["One two"]


async def test_a_medical_stream_has_partials_finals_and_health_information(
    sdk: Sdk, certificates: Certificates
) -> None:
    words = [
        {"word": "Ask", "start": 0.1, "end": 0.3},
        {"word": "Jane.", "start": 0.3, "end": 0.6, "pii": "NAME"},
    ]
    script = Script(ScriptFile.model_validate({"segments": [{"words": words}]}))
    service = transcribe(recogniser=script)
    async with serve_http2(service, context=certificates.server_context()) as port:
        clinic = Sdk(f"https://localhost:{port}", sdk.run)
        outcome = await clinic.stream(ContentIdentificationType="PHI", SessionId=SESSION, **MEDICAL)

    assert outcome.error is None
    assert outcome.session == SESSION
    assert outcome.texts == ["Ask", "Ask Jane."]
    assert outcome.results[-1]["entities"] == [
        {"StartTime": 0.3, "EndTime": 0.6, "Category": "PHI", "Content": "Jane", "Confidence": 0.98}
    ]


@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"Specialty": "ASTROLOGY"}, "specialty"),
        ({"Type": "SONG"}, "type"),
        ({"LanguageCode": "de-DE"}, "languageCode"),
        ({"MediaSampleRateHertz": 8000}, "mediaSampleRateHertz"),
        ({"MediaEncoding": "g729"}, "mediaEncoding"),
        ({"ContentIdentificationType": "PII"}, "contentIdentificationType"),
    ],
)
async def test_a_medical_stream_has_bounds_of_its_own(
    sdk: Sdk, wrong: dict[str, Any], member: str
) -> None:
    outcome = await sdk.stream(**{**MEDICAL, **wrong})

    assert (outcome.status, outcome.error) == (400, "BadRequestException")
    assert f"at '{member}' failed" in (outcome.message or "")


async def test_a_medical_stream_ends_with_the_exceptions_of_any(sdk: Sdk) -> None:
    outcome = await sdk.stream(fault="exception-LimitExceeded-0.5", **MEDICAL)

    assert outcome.texts == ["One"]
    assert outcome.error == "LimitExceededException"


@pytest.mark.parametrize("encoding", ["flac", "ogg-opus"])
async def test_compressed_audio_is_decoded(sdk: Sdk, encoding: str) -> None:
    file = encode(bytes(2 * 16_000), encoding)

    outcome = await sdk.stream(audio=file, MediaEncoding=encoding)
    garbage = await sdk.stream(MediaEncoding=encoding)

    assert outcome.finals == ["One two"]
    assert garbage.error == "BadRequestException"


@pytest.mark.parametrize(
    ("encoding", "audio"),
    [("g711-ulaw", b"\xff" * 8_000), ("g711-alaw", b"\xd5" * 8_000), ("g729", bytes(1_000))],
)
async def test_audio_of_telephones_is_decoded(sdk: Sdk, encoding: str, audio: bytes) -> None:
    outcome = await sdk.stream(
        audio=audio, size=500, MediaEncoding=encoding, MediaSampleRateHertz=8_000
    )
    other_rate = await sdk.stream(MediaEncoding=encoding)

    assert outcome.finals == ["One two"]
    assert other_rate.error == "BadRequestException"


async def test_every_language_of_the_sdk_is_taken_and_its_newest_options(sdk: Sdk) -> None:
    outcome = await sdk.stream(
        LanguageCode="ckb-IQ", SessionResumeWindow=300, TranscriptFormat="spoken"
    )

    assert (outcome.error, outcome.finals) == (None, ["One two"])


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"SessionResumeWindow": 301}, "sessionResumeWindow"),
        ({"TranscriptFormat": "sung"}, "transcriptFormat"),
        ({"ContentRedactionType": "PII", "PiiEntityTypes": "SHOE_SIZE"}, "piiEntityTypes"),
        (
            {
                "LanguageCode": None,
                "IdentifyLanguage": True,
                "LanguageOptions": "en-US,fr-FR",
                "ContentRedactionType": "PII",
            },
            "ContentRedactionType",
        ),
    ],
)
async def test_what_aws_would_not_take_is_refused(
    sdk: Sdk, wrong: dict[str, Any], names: str
) -> None:
    outcome = await sdk.stream(**wrong)

    assert (outcome.status, outcome.error) == (400, "BadRequestException")
    assert names in (outcome.message or "")


async def test_streams_side_by_side(sdk: Sdk) -> None:
    outcomes = await asyncio.gather(*(sdk.stream() for _ in range(3)))

    assert [outcome.finals for outcome in outcomes] == [["One two"]] * 3
    assert len({outcome.session for outcome in outcomes}) == 3


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("refuse-400", 400, "BadRequestException"),
        ("refuse-403", 403, "AccessDeniedException"),
        ("refuse-409", 409, "ConflictException"),
        ("refuse-429", 429, "LimitExceededException"),
        ("refuse-500", 500, "InternalFailureException"),
        ("refuse-503", 503, "ServiceUnavailableException"),
        ("limit", 429, "LimitExceededException"),
        ("no-such", 400, "BadRequestException"),
    ],
)
async def test_a_refusal_has_its_type_and_status(
    sdk: Sdk, fault: str, status: int, error: str
) -> None:
    outcome = await sdk.stream(fault=fault)

    assert (outcome.status, outcome.error, outcome.results) == (status, error, [])
    assert "fault" in (outcome.message or "")


async def test_a_wrong_signature_is_refused(sdk: Sdk) -> None:
    outcome = await sdk.stream(secret="another")  # noqa: S106 - a wrong one, and made up

    assert (outcome.status, outcome.error) == (403, "InvalidSignatureException")
    assert "signature we calculated does not match" in (outcome.message or "")


@pytest.mark.parametrize(
    "error", ["BadRequest", "Conflict", "LimitExceeded", "InternalFailure", "ServiceUnavailable"]
)
async def test_an_exception_in_mid_stream_follows_the_results_before_it(
    sdk: Sdk, error: str
) -> None:
    outcome = await sdk.stream(fault=f"exception-{error}-0.5")

    assert outcome.texts == ["One"]
    assert outcome.error == f"{error}Exception"
    assert outcome.message == "This was asked for, as a fault."


async def test_a_second_stream_of_the_session_ends_the_first(
    sdk: Sdk, service: TranscribeService
) -> None:
    first = asyncio.create_task(sdk.stream(end="never", SessionId=SESSION))
    await eventually(lambda: service.limits.open_streams, "the first stream is open")
    second = await sdk.stream(SessionId=SESSION)

    assert (await first).error == "ConflictException"
    assert second.finals == ["One two"]


async def test_a_client_that_falls_silent_gets_an_exception(sdk: Sdk) -> None:
    outcome = await sdk.stream(fault="idle-0.3", seconds=0.1, end="never")

    assert outcome.error == "BadRequestException"
    assert "no new audio was received for 0.3 seconds" in (outcome.message or "")


async def test_a_lost_connection_is_an_end_like_any_other_to_the_sdk(sdk: Sdk) -> None:
    """Only a missing final shows it."""
    outcome = await sdk.stream(fault="disconnect-0.5")

    assert outcome.error is None
    assert outcome.texts == ["One"]
    assert outcome.finals == []


async def test_a_stalled_stream_sends_nothing_and_costs_others_nothing(
    sdk: Sdk, service: TranscribeService
) -> None:
    stalled = asyncio.create_task(sdk.stream(fault="stall-0.5", patience=2))
    other = await sdk.stream()

    assert other.finals == ["One two"]
    outcome = await stalled
    assert (outcome.error, outcome.texts) == ("OutOfPatience", ["One"])
    assert service.limits.open_streams == 0
