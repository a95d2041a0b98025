"""The service with Amazon Transcribe as its engine, in front of the local endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from client.live import Speaker
from local_cloud.transcribe.faults import Fault, Faults
from local_cloud.transcribe.recognition import Dictation, dictate
from local_cloud.transcribe.session import Service
from local_cloud.transcribe.websocket import serve_websocket
from tests.support.service import RunningService, running_service
from transcripts.protocol import Final, TranscribeParameters

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIDLOCAL", "local-secret-key"
#: Two utterances, a second apart, and the silence that ends the second one.
SPOKEN = dictate(
    [(1, 0.2, 0.5), (2, 0.6, 0.9), (3, 2.0, 2.3), (4, 2.4, 2.7)],
    seconds=4.0,
)
CHUNK = 3_200  # bytes, 100 ms


@asynccontextmanager
async def captions(*faults: str) -> AsyncIterator[RunningService]:
    """Start the endpoint and the service, which knows nothing of it but the address."""
    heard = Service(
        recogniser=Dictation(),
        secrets={KEY: SECRET},
        faults=Faults(Fault.parse(fault) for fault in faults),
    )
    async with (
        serve_websocket(heard) as port,
        running_service(
            engine="transcribe",
            transcribe_endpoint=f"ws://127.0.0.1:{port}",
            transcribe_region="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        ) as service,
    ):
        yield service


async def finals(service: RunningService) -> list[tuple[str, list[float]]]:
    """Speak and return each final with the times of its words."""
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id="talk")
    async with Speaker(service.url, parameters) as talk:
        for offset in range(0, len(SPOKEN), CHUNK):
            await talk.send(SPOKEN[offset : offset + CHUNK])
        await talk.stop()
        return [
            (message.text, [word.start_time for word in message.words])
            async for message in talk
            if isinstance(message, Final)
        ]


async def test_what_transcribe_hears_is_captioned_with_its_times() -> None:
    async with captions() as service:
        said = await finals(service)

    assert [text for text, _ in said] == ["word1 word2", "word3 word4"]
    assert [times for _, times in said] == [
        pytest.approx([0.2, 0.6], abs=0.05),
        pytest.approx([2.0, 2.4], abs=0.05),
    ]


@pytest.mark.parametrize(
    "fault", ["disconnect@2.2x1", "exception:InternalFailure@2.2x1", "refuse:429x1"]
)
async def test_a_session_that_dies_costs_no_word_and_doubles_none(fault: str) -> None:
    async with captions() as undisturbed:
        expected = await finals(undisturbed)

    async with captions(fault) as service:
        said = await finals(service)

    assert [text for text, _ in said] == [text for text, _ in expected]
    for (_, times), (_, undisturbed_times) in zip(said, expected, strict=True):
        assert times == pytest.approx(undisturbed_times, abs=0.05)
