"""Captions in another language, through the real service, with the stand-in for a translator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client.errors import Refused
from client.live import Viewer
from tests.support.service import RunningService, running_service
from transcripts.models import Model
from transcripts.protocol import (
    ConnectParameters,
    ErrorCode,
    Final,
    Partial,
    Snapshot,
    Translation,
    TranslationStatus,
)
from translation.pseudo import pseudo

pytestmark = pytest.mark.integration

CHUNK = bytes(3_200)  # 100 ms at 16 kHz
#: The scripted engine's utterances, in chunks: eight words of 400 ms.
UTTERANCE = 32


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service(translator="pseudo", translate_languages="fr,de,pt-PT") as running:
        yield running


@asynccontextmanager
async def speaker(url: str, conversation: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    query = {"sampleRate": "16000", "conversationId": conversation}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/api/stt/transcribe", params=query) as talk,
    ):
        yield talk


def viewer(url: str, conversation: str, language: str | None = None, **options: object) -> Viewer:
    parameters = {"conversation_id": conversation, "language": language, **options}
    return Viewer(url, ConnectParameters.model_validate(parameters))


async def joined(*viewings: Viewer) -> None:
    """Wait until they are subscribed; earlier messages are in their snapshots."""
    for viewing in viewings:
        assert isinstance(await anext(aiter(viewing)), Snapshot)


async def send_audio(talk: aiohttp.ClientWebSocketResponse, chunks: int) -> None:
    for _ in range(chunks):
        await talk.send_bytes(CHUNK)


async def read(viewing: Viewer, *, finals: int) -> list[Model]:
    """Return messages up to and including the translations of so many finals."""
    taken: list[Model] = []
    async with asyncio.timeout(20):
        async for message in viewing:
            taken.append(message)
            if sum(isinstance(m, Translation) and m.is_final for m in taken) == finals:
                break
    return taken


def translations(messages: list[Model], *, final: bool) -> list[Translation]:
    return [m for m in messages if isinstance(m, Translation) and m.is_final is final]


async def sample(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def test_a_viewer_reads_every_final_in_his_language_beside_the_original(
    service: RunningService,
) -> None:
    conversation = uuid4().hex
    async with (
        viewer(service.url, conversation, "fr-FR") as reading,
        speaker(service.url, conversation) as talk,
    ):
        await joined(reading)
        await send_audio(talk, 2 * UTTERANCE)
        await talk.send_str('{"type":"stop"}')
        seen = await read(reading, finals=2)

    originals = {m.seq: m for m in seen if isinstance(m, Final | Partial)}
    translated = translations(seen, final=True)
    assert [type(originals[m.seq]) for m in translated] == [Final, Final]
    for message in translations(seen, final=True) + translations(seen, final=False):
        original = originals[message.seq]
        assert message.utterance_id == original.utterance_id
        assert (message.source_language, message.language) == ("en-US", "fr")
        assert message.text == pseudo(original.text, "fr")
        assert seen.index(original) < seen.index(message)
    assert list(originals) == sorted(originals), "all of them, in their order"
    assert len(originals) == max(originals)


async def test_what_is_still_spoken_is_translated_too(service: RunningService) -> None:
    conversation = uuid4().hex
    async with (
        viewer(service.url, conversation, "de") as reading,
        speaker(service.url, conversation) as talk,
    ):
        await joined(reading)
        await send_audio(talk, 10)
        async with asyncio.timeout(10):
            async for message in reading:
                if isinstance(message, Translation):
                    break

    assert isinstance(message, Translation)
    assert not message.is_final
    assert message.text.startswith("[de ")


async def test_fifty_viewers_cost_as_much_as_one() -> None:
    async with (
        running_service(translator="pseudo") as service,
        AsyncExitStack() as stack,
    ):
        conversation = uuid4().hex
        readers = [
            await stack.enter_async_context(viewer(service.url, conversation, "fr"))
            for _ in range(50)
        ]
        talk = await stack.enter_async_context(speaker(service.url, conversation))
        await joined(*readers)
        await send_audio(talk, 3 * UTTERANCE)
        await talk.send_str('{"type":"stop"}')
        seen = await asyncio.gather(*(read(reader, finals=3) for reader in readers))
        calls = await sample(service.url, "cloudscribe_translation_calls_total")
        characters = await sample(service.url, "cloudscribe_translation_characters_total")

    received = [[m for m in messages if isinstance(m, Translation)] for messages in seen]
    assert all(one == received[0] for one in received)
    assert calls == len({m.text for m in received[0]})
    originals = {m.seq: m.text for m in seen[0] if isinstance(m, Final | Partial)}
    assert characters == sum(map(len, {originals[m.seq] for m in received[0]}))


async def test_who_comes_late_reads_the_past_in_his_language(service: RunningService) -> None:
    conversation = uuid4().hex
    async with (
        viewer(service.url, conversation) as listening,
        speaker(service.url, conversation) as talk,
    ):
        await joined(listening)
        await send_audio(talk, UTTERANCE + 4)
        async for message in listening:
            if isinstance(message, Final):
                break
        async with viewer(service.url, conversation, "pt-PT") as late:
            seen = await read(late, finals=1)

    snapshot = seen[0]
    assert isinstance(snapshot, Snapshot)
    (translated,) = translations(seen, final=True)
    assert translated.utterance_id == snapshot.utterances[0].utterance_id
    assert translated.text == pseudo(snapshot.utterances[0].text, "pt-PT")
    assert translated.seq == snapshot.seq


async def refused(viewing: Viewer) -> Refused:
    with pytest.raises(Refused) as refusal:
        async with viewing:
            async for _ in viewing:
                pass
    return refusal.value


async def test_another_language_is_refused_with_those_there_are(service: RunningService) -> None:
    refusal = await refused(viewer(service.url, "c", "ja"))

    assert refusal.code is ErrorCode.UNSUPPORTED_LANGUAGE
    assert "fr, de, pt-PT" in str(refusal)


async def test_the_translation_of_snapshots_is_refused(service: RunningService) -> None:
    refusal = await refused(viewer(service.url, "c", "fr", mode="snapshot"))

    assert refusal.code is ErrorCode.INVALID_PARAMETER


#: What the engine can do, whatever can be translated.
SCRIPTED = {
    "engine": "scripted",
    "note": "A stand-in that recognises nothing: its words come from a script",
    "capabilities": {
        "channels": 1,
        "punctuation": False,
        "speakers": False,
        "stableWords": False,
        "wordTimes": True,
    },
    "recognition": [],
}


async def test_without_a_translator_every_language_is_refused() -> None:
    async with running_service() as service:
        refusal = await refused(viewer(service.url, "c", "fr"))
        languages = await page(service.url)

    assert refusal.code is ErrorCode.UNSUPPORTED_LANGUAGE
    assert "no translator" in str(refusal)
    assert languages == SCRIPTED | {
        "translation": [],
        "translator": None,
    }


async def test_languages_can_be_asked_for(service: RunningService) -> None:
    assert await page(service.url) == SCRIPTED | {
        "translation": ["fr", "de", "pt-PT"],
        "translator": "pseudo",
    }


async def test_users_get_the_operators_note_in_place_of_the_engines() -> None:
    async with running_service(engine_note="Rehearsal") as service:
        languages = await page(service.url)

    assert languages == SCRIPTED | {"note": "Rehearsal", "translation": [], "translator": None}


async def page(url: str) -> object:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/stt/languages") as answer,
    ):
        assert answer.status == 200
        return await answer.json()


async def test_refused_clients_do_not_get_the_languages(service: RunningService) -> None:
    async with (
        aiohttp.ClientSession(headers={"Origin": "https://elsewhere.example"}) as session,
        session.get(f"{service.url}/api/stt/languages") as answer,
    ):
        assert answer.status == 403


async def translate_that_detects(request: web.Request) -> web.Response:
    """Answer as Amazon Translate: what is to be detected is French, or uncertain if it is short."""
    asked = json.loads(await request.read())
    text, source = asked["Text"], asked["SourceLanguageCode"]
    if source == "auto" and len(text) < 20:
        code = "DetectedLanguageLowConfidenceException"
        refusal = {"__type": code, "Message": "Low.", "DetectedLanguageCode": "la"}
        return web.json_response(refusal, status=400, headers={"x-amzn-ErrorType": code})
    detected = "fr" if source == "auto" else source
    target = asked["TargetLanguageCode"]
    answer = {"SourceLanguageCode": detected, "TargetLanguageCode": target}
    return web.json_response({"TranslatedText": f"{detected}>{target}", **answer})


async def test_what_is_detected_counts_and_what_is_uncertain_is_as_recognised() -> None:
    app = web.Application()
    app.router.add_post("/", translate_that_detects)
    conversation = uuid4().hex
    async with AsyncExitStack() as stack:
        amazon = await stack.enter_async_context(TestServer(app))
        environment = {
            "aws_endpoint_url_translate": str(amazon.make_url("")),
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "translate_region": "eu-central-1",
            "translate_source": "auto",
        }
        service = await stack.enter_async_context(
            running_service(translator="amazon", **environment)
        )
        reading = await stack.enter_async_context(viewer(service.url, conversation, "fr"))
        talk = await stack.enter_async_context(speaker(service.url, conversation))
        await joined(reading)
        await send_audio(talk, UTTERANCE + 6)  # and a word of the next
        await talk.send_str('{"type":"stop"}')
        seen = await read(reading, finals=2)

    originals = {m.seq: m.text for m in seen if isinstance(m, Final | Partial)}
    found = translations(seen, final=True) + translations(seen, final=False)
    assert {(m.source_language, m.text == originals[m.seq]) for m in found} == {
        ("fr", True),
        ("en-US", False),
    }
    assert all(m.text == "en>fr" for m in found if m.source_language == "en-US")


async def test_an_unreachable_translator_is_reported_and_the_originals_come() -> None:
    """Amazon Translate at an address where nobody listens."""
    environment = {
        "aws_endpoint_url_translate": "http://127.0.0.1:9",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "translate_region": "eu-central-1",
    }
    conversation = uuid4().hex
    async with (
        running_service(translator="amazon", **environment) as service,
        viewer(service.url, conversation, "fr") as reading,
        speaker(service.url, conversation) as talk,
    ):
        await joined(reading)
        await send_audio(talk, 2 * UTTERANCE)
        await talk.send_str('{"type":"stop"}')
        seen: list[Model] = []
        async with asyncio.timeout(20):
            async for message in reading:
                seen.append(message)
                kinds = [type(m) for m in seen]
                if TranslationStatus in kinds and kinds.count(Final) == 2:
                    break
        assert await service.terminate() == 0

    logged = str(service.logs)
    assert [m.state for m in seen if isinstance(m, TranslationStatus)] == ["failing"]
    assert "Unavailable" in logged
    assert not any(m.text in logged for m in seen if isinstance(m, Final))
