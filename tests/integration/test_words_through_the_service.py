"""Real words through the running service: the path from socket to caption loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from client.live import Speaker
from speech.decode import decode
from speech.engines.blocking import BlockingModel
from speech.engines.embedded import choose_embedded
from speech.pcm import PcmFormat
from speech.resample import Resampler
from tests.support.recognition import load_model, recognise_directly
from tests.support.recordings import flite, recording, recordings, silence, wav, word_error_rate
from tests.support.service import RunningService, running_service
from transcripts.protocol import Final, Partial, TranscribeParameters

pytestmark = pytest.mark.integration

FORMATS = [
    PcmFormat(rate, channels) for rate in (8_000, 16_000, 44_100, 48_000) for channels in (1, 2)
]
#: Of each rate, and of each number of channels.
SOME_FORMATS = [PcmFormat(16_000), PcmFormat(44_100, 2), PcmFormat(48_000)]
#: Enough words that one of them is less than the two points by which the path may differ.
SENTENCES = {
    "rms": "he was not an ill disposed young man and he liked to walk along the river",
    "slt": "the horizon seems extremely distant in the morning when the ships leave the harbour",
    "kal16": "ask not what your country can do for you and ask what you can do for it",
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """A file, what is spoken in it, and what the engine alone recognises of it."""

    path: Path
    text: str
    alone: str


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service(engine=choose_embedded(), slots=8) as running:
        yield running


@pytest.fixture(scope="module")
def model() -> BlockingModel:
    return load_model(choose_embedded())


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, model: BlockingModel) -> list[Spoken]:
    folder = tmp_path_factory.mktemp("spoken")
    spoken = []
    for voice, text in SENTENCES.items():
        path = wav(folder / f"{voice}.wav", silence(0.4) + flite(text, voice) + silence(0.4))
        spoken.append(Spoken(path, text, recognised_alone(path, model)))
    return spoken


@pytest.fixture(scope="module")
def recorded(model: BlockingModel) -> list[Spoken]:
    return [
        Spoken(r.path, r.text, recognised_alone(r.path, model))
        for r in recordings()
        if r.text is not None
    ]


def recognised_alone(path: Path, model: BlockingModel, rate: int = 16_000) -> str:
    """Return what the engine recognises of a file at `rate` Hz, decoded in this process."""
    resampler = Resampler(PcmFormat(rate))
    pcm = b"".join(map(resampler.process, decode(path, sample_rate=rate))) + resampler.flush()
    return " ".join(final.text for final in recognise_directly(pcm, model))


async def streamed(url: str, path: Path, audio: PcmFormat) -> str:
    """Return what the service recognises of a file that is sent in this format."""
    parameters = TranscribeParameters(sample_rate=audio.sample_rate, channels=audio.channels)
    async with Speaker(url, parameters, interim_results=False) as speaker:

        async def send() -> None:
            pieces = decode(path, sample_rate=audio.sample_rate, channels=audio.channels)
            for pcm in pieces:
                await speaker.send(pcm)
            await speaker.stop()

        sending = asyncio.create_task(send())
        finals = [m.text async for m in speaker if isinstance(m, Final)]
        await sending
    return " ".join(finals)


async def errors_of_both_ways(
    url: str, spoken: list[Spoken], audio: PcmFormat, model: BlockingModel
) -> tuple[float, float]:
    """Return the word error rates: through the service, and of the engine alone."""
    # A telephone's band has fewer sounds, which is no loss of the path.
    is_narrow = audio.sample_rate < 16_000
    alone = [
        recognised_alone(each.path, model, audio.sample_rate) if is_narrow else each.alone
        for each in spoken
    ]
    recognised = await asyncio.gather(*[streamed(url, each.path, audio) for each in spoken[:8]])
    recognised += await asyncio.gather(*[streamed(url, each.path, audio) for each in spoken[8:]])
    return (
        word_error_rate((each.text, words) for each, words in zip(spoken, recognised, strict=True)),
        word_error_rate((each.text, alone) for each, alone in zip(spoken, alone, strict=True)),
    )


@pytest.mark.parametrize("audio", FORMATS, ids=str)
async def test_generated_speech_is_recognised_in_every_format(
    service: RunningService, generated: list[Spoken], audio: PcmFormat, model: BlockingModel
) -> None:
    through, alone = await errors_of_both_ways(service.url, generated, audio, model)

    assert through <= alone + 0.02
    assert through < 0.4


@pytest.mark.parametrize("audio", SOME_FORMATS, ids=str)
async def test_real_recordings_are_recognised_as_by_the_engine_alone(
    service: RunningService, recorded: list[Spoken], audio: PcmFormat, model: BlockingModel
) -> None:
    through, alone = await errors_of_both_ways(service.url, recorded, audio, model)

    assert through <= alone + 0.02


async def test_sound_without_words_yields_no_words(service: RunningService) -> None:
    assert await streamed(service.url, recording("sb_noise2.wav").path, PcmFormat(48_000, 2)) == ""


async def test_words_survive_the_death_of_every_worker(
    service: RunningService, generated: list[Spoken]
) -> None:
    spoken = generated[0]
    undisturbed = await streamed(service.url, spoken.path, PcmFormat(16_000))
    pieces = list(decode(spoken.path))
    parameters = TranscribeParameters(sample_rate=16_000)

    async def recognised_words(
        speaker: Speaker, ready: asyncio.Semaphore, disturbed: asyncio.Event
    ) -> str:
        for pcm in pieces[: len(pieces) // 2]:
            await speaker.send(pcm)
        messages = aiter(speaker)
        while not isinstance(await anext(messages), Partial):
            pass
        ready.release()
        await disturbed.wait()
        for pcm in pieces[len(pieces) // 2 :]:
            await speaker.send(pcm)
        await speaker.stop()
        return " ".join([m.text async for m in messages if isinstance(m, Final)])

    ready, disturbed = asyncio.Semaphore(0), asyncio.Event()
    async with Speaker(service.url, parameters) as one, Speaker(service.url, parameters) as other:
        streams = [
            asyncio.create_task(recognised_words(each, ready, disturbed)) for each in (one, other)
        ]
        for _ in streams:
            await ready.acquire()
        kill_workers(service)
        disturbed.set()
        texts = await asyncio.gather(*streams)

    assert texts == [undisturbed, undisturbed]
    assert len(service.logged("engine_session_failed")) >= 2


def kill_workers(service: RunningService) -> None:
    """Kill what the fork server has forked."""
    for fork_server in psutil.Process(service.process.pid).children():
        for worker in fork_server.children():
            worker.kill()
