"""Whatever a client does wrong is named, closed with its code, and costs nobody else anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from client.live import Speaker
from client.live.languages import ask_for_languages
from speech.engines.embedded import choose_embedded
from speech.engines.names import EMBEDDED_LANGUAGES
from tests.support.service import RunningService, running_service
from transcripts.protocol import ERRORS, ErrorCode, Final, TranscribeParameters

pytestmark = pytest.mark.integration

SECOND = bytes(32_000)


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service() as running:
        yield running


async def end_of(
    url: str, query: str, *frames: bytes | str, wait: float = 5
) -> tuple[dict[str, Any], int | None]:
    """Send frames as a speaker; return the last message and the close code."""
    last: dict[str, Any] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/api/stt/transcribe?{query}") as socket,
    ):
        for frame in frames:
            if isinstance(frame, str):
                await socket.send_str(frame)
            else:
                await socket.send_bytes(frame)
        async with asyncio.timeout(wait):
            async for message in socket:
                last = json.loads(message.data)
        return last, socket.close_code


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sampleRate=",
        "sampleRate=fast",
        "sampleRate=0",
        "sampleRate=-16000",
        "sampleRate=16000.5",
        "sampleRate=10000000",
        "sampleRate=16000&channels=3",
        "sampleRate=16000&conversationId=no%20spaces",
        "sampleRate=16000&conversationId=%00",
        f"sampleRate=16000&conversationId={'x' * 10_240}",
        "sampleRate=16000&speaker=%0A",
        "sampleRate=16000&language=English",
    ],
)
async def test_parameters_out_of_range_are_named(service: RunningService, query: str) -> None:
    last, close_code = await end_of(service.url, query)

    assert (last["type"], last["code"]) == ("error", "invalid_parameter")
    assert not last["retryable"]
    assert "x" * 100 not in last["message"], "the input is not echoed"
    assert close_code == ERRORS[ErrorCode.INVALID_PARAMETER].close_code


async def test_a_request_beyond_all_measure_is_cut_off(service: RunningService) -> None:
    with pytest.raises(aiohttp.ClientError):
        await end_of(service.url, f"sampleRate=16000&conversationId={'x' * 100_000}")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], "invalid_audio"),
        ([bytes(3201)], "invalid_audio"),
        ([bytes(32_002)], "frame_too_large"),
        ([bytes(65_538)], "frame_too_large"),
        (["hello"], "invalid_message"),
        (["[]"], "invalid_message"),
        (['{"type":"dance"}'], "invalid_message"),
        (['{"type":"stop","now":true}'], "invalid_message"),
        (['{"type":"start","format":{"sampleRate":1}}'], "invalid_message"),
        (["[" * 50_000], "invalid_message"),
        ([bytes(3200), '{"type":"start"}'], "unexpected_message"),
    ],
)
async def test_frames_that_are_not_audio_or_control_are_named(
    service: RunningService, frames: list[bytes | str], code: str
) -> None:
    last, close_code = await end_of(service.url, "sampleRate=16000", *frames)

    assert (last["type"], last["code"]) == ("error", code)
    assert close_code == ERRORS[ErrorCode(code)].close_code


async def test_odd_bytes_of_stereo_are_odd_frames(service: RunningService) -> None:
    last, _ = await end_of(service.url, "sampleRate=16000&channels=2", bytes(3202))

    assert last["code"] == "invalid_audio"


async def test_a_huge_frame_is_cut_off_by_the_transport(service: RunningService) -> None:
    _, close_code = await end_of(service.url, "sampleRate=16000", bytes(300_000))

    assert close_code == 1009


async def test_a_language_that_the_engine_does_not_know_is_named() -> None:
    async with running_service(engine=choose_embedded(), slots=1) as service:
        last, close_code = await end_of(service.url, "sampleRate=16000&language=fr-FR")

    assert last["code"] == "unsupported_language"
    assert "en-US" in last["message"]
    assert close_code == 4406


async def test_every_language_that_is_listed_is_taken_and_no_other_one_of_english() -> None:
    engine = choose_embedded()
    async with running_service(engine=engine, slots=10) as service:
        offer = await ask_for_languages(service.url)
        for language in offer.recognition:
            parameters = TranscribeParameters(sample_rate=16_000, language=language)
            async with Speaker(service.url, parameters) as speaker:
                await speaker.stop()
        last, _ = await end_of(service.url, "sampleRate=16000&language=en-XX")

    assert set(offer.recognition) == EMBEDDED_LANGUAGES[engine]
    assert last["code"] == "unsupported_language"


async def test_a_bad_neighbour_is_not_noticed(service: RunningService) -> None:
    query = TranscribeParameters(sample_rate=16_000)
    async with Speaker(service.url, query) as speaker:
        await speaker.send(SECOND)
        for frames in ([bytes(3201)], ["hello"], [bytes(300_000)]):
            await end_of(service.url, "sampleRate=16000", *frames)
        for _ in range(3):
            await speaker.send(SECOND)
        await speaker.stop()
        finals = [m async for m in speaker if isinstance(m, Final)]

    assert sum(len(final.words) for final in finals) == 10


async def test_unknown_upgrade_paths_are_refused(service: RunningService) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(f"{service.url}/api/stt/other")

    assert refusal.value.status == 404


async def test_a_plain_request_is_refused_with_upgrade_required(service: RunningService) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/api/stt/transcribe") as answer,
    ):
        assert answer.status == 426


async def test_a_page_of_another_origin_is_forbidden(service: RunningService) -> None:
    async with aiohttp.ClientSession(headers={"Origin": "https://evil.example"}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(f"{service.url}/api/stt/connect?conversationId=c")

    assert refusal.value.status == 403


async def test_a_viewer_who_talks_is_closed(service: RunningService) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{service.url}/api/stt/connect?conversationId=c") as socket,
    ):
        await socket.send_str("hello")
        messages = [json.loads(message.data) async for message in socket]

    assert messages[-1]["code"] == "unexpected_message"
    assert socket.close_code == 4409
