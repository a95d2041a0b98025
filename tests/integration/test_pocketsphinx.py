from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from speech.engines.base import RecognitionOptions, Result
from speech.engines.errors import UnsupportedLanguage
from speech.engines.pocketsphinx import PocketsphinxEngine
from speech.engines.pocketsphinx_model import PocketsphinxModel, load, transcribe_segments
from speech.engines.withheld import WITHHELD
from speech.engines.workers import WorkerSession
from tests.support.recordings import flite, recording, recordings, silence, word_error_rate

# Recognition takes a core; beside other tests it is too slow for its limits.
pytestmark = [pytest.mark.integration, pytest.mark.alone]

SENTENCES = (
    "the weather is very nice today and we are going to walk along the river",
    "she asked the old man where the train to the city would leave in the morning",
    "we hope that everybody can read the words while they are spoken",
)
CHUNK = 3_200


@pytest.fixture(scope="module")
def model() -> PocketsphinxModel:
    return load()


@pytest.fixture
async def engine() -> AsyncIterator[PocketsphinxEngine]:
    async with PocketsphinxEngine(slots=3, spare=1) as engine:
        yield engine


async def recognise(engine: PocketsphinxEngine, pcm: bytes) -> list[Result]:
    async with engine.recognise(RecognitionOptions()) as recognition, asyncio.timeout(120):

        async def write() -> None:
            for at in range(0, len(pcm), CHUNK):
                recognition.write(pcm[at : at + CHUNK])
                if recognition.backlogged:
                    await recognition.drain()
            recognition.end()

        writing = asyncio.create_task(write())
        results = [result async for result in recognition]
        await writing
        return results


def text_of(results: list[Result]) -> str:
    return " ".join(result.text for result in results if result.is_final)


def noise(seconds: float) -> bytes:
    rng = np.random.default_rng(7)
    return rng.normal(0, 3_000, round(seconds * 16_000)).astype("<i2").tobytes()


def tone(seconds: float) -> bytes:
    at = np.arange(round(seconds * 16_000)) / 16_000
    return (8_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


async def test_speech_becomes_words_in_their_place(engine: PocketsphinxEngine) -> None:
    pcm = b"".join(flite(sentence) + silence(1.0) for sentence in SENTENCES)

    results = await recognise(engine, pcm)

    assert word_error_rate([(" ".join(SENTENCES), text_of(results))]) < 0.35
    finals = [result for result in results if result.is_final]
    assert [result.segment for result in finals] == list(range(len(finals)))
    words = [word for result in finals for word in result.words]
    before = 0.0
    for word in words:
        assert before <= word.start_time + 1e-9 < word.end_time <= len(pcm) / 32_000
        before = word.end_time
    assert text_of(results) == " ".join(word.word for word in words)
    assert all(result.language == "en-US" for result in results)


async def test_words_are_guessed_while_they_are_spoken(engine: PocketsphinxEngine) -> None:
    results = await recognise(engine, silence(1.0) + flite(SENTENCES[0]))

    first = results[0]
    assert not first.is_final
    onset = next(result for result in results if result.is_final).words[0].start_time
    assert first.end - onset < 1.0
    guesses = [result.text for result in results if not result.is_final]
    assert len(guesses) > 5
    assert all(text != following for text, following in pairwise(guesses))


@pytest.mark.parametrize(
    "pcm", [silence(4.0), noise(6.0), tone(4.0)], ids=["silence", "noise", "tone"]
)
async def test_sound_without_words_yields_no_words(engine: PocketsphinxEngine, pcm: bytes) -> None:
    assert await recognise(engine, pcm) == []


async def test_recorded_noise_yields_no_words(engine: PocketsphinxEngine) -> None:
    assert await recognise(engine, recording("sb_noise2.wav").pcm()) == []


async def test_streaming_loses_nothing_against_decoding_whole_segments(
    engine: PocketsphinxEngine, model: PocketsphinxModel
) -> None:
    spoken = [(r.text, r.pcm()) for r in recordings() if r.text and r.seconds < 8]

    streamed = [(text, text_of(await recognise(engine, pcm))) for text, pcm in spoken]
    direct = [
        (text, " ".join(result.text for result in transcribe_segments(pcm, model)))
        for text, pcm in spoken
    ]

    assert word_error_rate(streamed) <= word_error_rate(direct) + 0.02


async def test_a_killed_worker_loses_no_final_and_doubles_none(engine: PocketsphinxEngine) -> None:
    pcm = b"".join(flite(sentence) + silence(1.0) for sentence in SENTENCES)
    undisturbed = [result for result in await recognise(engine, pcm) if result.is_final]

    finals: list[Result] = []
    async with engine.recognise(RecognitionOptions()) as recognition, asyncio.timeout(120):
        for at in range(0, len(pcm), CHUNK):
            recognition.write(pcm[at : at + CHUNK])
        recognition.end()
        killed = False
        async for result in recognition:
            if result.is_final:
                finals.append(result)
            elif result.segment == 1 and len(result.text) > 20 and not killed:
                killed = True
                assert recognition._attempt is not None
                session = recognition._attempt.session
                assert isinstance(session, WorkerSession)
                os.kill(session._worker.pid, signal.SIGKILL)

    assert killed
    assert [result.segment for result in finals] == [result.segment for result in undisturbed]
    for result, expected in zip(finals, undisturbed, strict=True):
        assert result.start == pytest.approx(expected.start, abs=0.3)
        assert result.end == pytest.approx(expected.end, abs=0.3)
    assert word_error_rate([(" ".join(SENTENCES), text_of(finals))]) < 0.4


async def test_a_second_pass_yields_words_in_their_place_too() -> None:
    async with PocketsphinxEngine(slots=1, spare=0, second_pass=True) as engine:
        results = await recognise(engine, flite(SENTENCES[0]))

    assert word_error_rate([(SENTENCES[0], text_of(results))]) < 0.35


async def test_the_loop_stays_free_while_workers_decode(engine: PocketsphinxEngine) -> None:
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - before)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*[recognise(engine, flite(sentence)) for sentence in SENTENCES])
    watcher.cancel()

    assert max(gaps) < 0.5
    assert sorted(gaps)[len(gaps) // 2] < 0.05


def test_noise_cannot_be_recognised_as_profanity(model: PocketsphinxModel) -> None:
    assert [word for word in WITHHELD if model.decoder.lookup_word(word) is not None] == []
    assert model.decoder.lookup_word("hello") is not None


def test_one_recording_leaves_no_trace_in_the_next(model: PocketsphinxModel) -> None:
    pcm = flite(SENTENCES[1])

    assert transcribe_segments(pcm, model) == transcribe_segments(pcm, model)


async def test_other_languages_are_refused(engine: PocketsphinxEngine) -> None:
    with pytest.raises(UnsupportedLanguage):
        engine.recognise(RecognitionOptions(language="de-DE"))
