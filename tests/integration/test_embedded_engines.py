from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from speech.engines import pocketsphinx_model
from speech.engines.base import Engine, Policy, Recognition, RecognitionOptions, Result
from speech.engines.blocking import BlockingModel
from speech.engines.errors import EngineUnavailable, UnsupportedLanguage
from speech.engines.moonshine.engine import MoonshineEngine
from speech.engines.moonshine.files import find_model, is_installed
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.engines.pocketsphinx import PocketsphinxEngine
from speech.engines.registry import ENGINES, EngineSettings
from speech.engines.withheld import WITHHELD
from speech.engines.workers import WorkerEngine, WorkerSession
from tests.support.recognition import load_model, recognise_directly
from tests.support.recordings import (
    flite,
    normalised,
    recording,
    recordings,
    silence,
    word_error_rate,
)

# Recognition takes a core; beside other tests it is too slow for its limits.
pytestmark = [pytest.mark.integration, pytest.mark.alone]

SENTENCES = (
    "the weather is very nice today and we are going to walk along the river",
    "she asked the old man where the train to the city would leave in the morning",
    "we hope that everybody can read the words while they are spoken",
)
CHUNK = 3_200


@dataclass(frozen=True, slots=True)
class Kind:
    """An embedded engine, and the errors that it may make."""

    name: Literal["moonshine", "pocketsphinx"]
    #: In sentences that flite speaks.
    word_error_rate: float
    #: From the first word to the first partial, seconds.
    first_partial: float
    #: Whether the text of a segment depends on nothing before it.
    is_repeatable: bool

    def model(self) -> BlockingModel:
        """Load the model in this process."""
        return load_model(self.name)

    def engine(self, slots: int, policy: Policy | None = None) -> Engine:
        """Return the engine, not started."""
        engine = ENGINES[self.name].create(EngineSettings(), slots)
        engine.policy = policy or engine.policy
        return engine


KINDS = (
    Kind("moonshine", 0.25, 1.5, is_repeatable=True),
    # Its cepstral mean passes from segment to segment.
    Kind("pocketsphinx", 0.35, 1.0, is_repeatable=False),
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    if chosen.name == "moonshine" and not is_installed():
        pytest.skip("moonshine is not installed: it has no package for this machine")
    return chosen


@pytest.fixture(scope="module")
def model(kind: Kind) -> BlockingModel:
    return kind.model()


@pytest.fixture
async def engine(kind: Kind) -> AsyncIterator[Engine]:
    async with kind.engine(slots=3) as engine:
        yield engine


async def recognise(engine: Engine, pcm: bytes) -> list[Result]:
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


def rendered(wave: npt.NDArray[np.float64]) -> bytes:
    return wave.clip(-32_768, 32_767).astype("<i2").tobytes()


AT = np.arange(4 * 16_000) / 16_000
RNG = np.random.default_rng(7)
HUM = 6_000 * np.sin(2 * np.pi * 50 * AT) + 2_000 * np.sin(2 * np.pi * 100 * AT)
PITCHES = np.array([[220], [277], [330], [440]])
CHORD = (1_500 * np.sin(2 * np.pi * PITCHES * AT) * (1 + np.sin(4 * np.pi * AT + PITCHES))).sum(
    axis=0
)
MELODY = 6_000 * np.sin(2 * np.pi * (220 * 2 ** (np.floor(AT * 4) % 7 / 6)) * AT) * (1 - AT * 4 % 1)
SOUNDS = {
    "silence": np.zeros(len(AT)),
    "noise": RNG.normal(0, 3_000, len(AT)),
    "loud-noise": RNG.normal(0, 12_000, len(AT)),
    "brown-noise": np.cumsum(RNG.normal(0, 200, len(AT))) % 8_000 - 4_000,
    "hum": HUM,
    "tone": 8_000 * np.sin(2 * np.pi * 440 * AT),
    "chord": CHORD,
    "melody": MELODY,
    "clicks": (RNG.random(len(AT)) > 0.9995) * 20_000.0,
    "siren": 8_000 * np.sin(2 * np.pi * 600 * AT + 120 * np.sin(np.pi * AT)),
}


async def test_speech_becomes_words_in_their_place(engine: Engine, kind: Kind) -> None:
    pcm = b"".join(flite(sentence) + silence(1.0) for sentence in SENTENCES)

    results = await recognise(engine, pcm)

    assert word_error_rate([(" ".join(SENTENCES), text_of(results))]) < kind.word_error_rate
    finals = [result for result in results if result.is_final]
    assert [result.segment for result in finals] == list(range(len(finals)))
    words = [word for result in finals for word in result.words]
    before = 0.0
    for word in words:
        assert before <= word.start_time + 1e-9 < word.end_time <= len(pcm) / 32_000
        before = word.end_time
    assert normalised(text_of(results)) == normalised(" ".join(word.word for word in words))
    assert all(result.language == "en-US" for result in results)


async def test_words_are_guessed_while_they_are_spoken(engine: Engine, kind: Kind) -> None:
    results = await recognise(engine, silence(1.0) + flite(SENTENCES[0]))

    first = results[0]
    assert not first.is_final
    onset = next(result for result in results if result.is_final).words[0].start_time
    assert first.end - onset < kind.first_partial
    guesses = [result.text for result in results if not result.is_final]
    assert len(guesses) > 3
    assert all(text != following for text, following in pairwise(guesses))


@pytest.mark.parametrize("sound", SOUNDS)
def test_sound_without_words_yields_no_words(model: BlockingModel, sound: str) -> None:
    recogniser = model.open(RecognitionOptions())

    events = [*recogniser.accept(rendered(SOUNDS[sound])), *recogniser.finish()]

    assert [event for event in events if isinstance(event, Result)] == []


async def test_recorded_noise_yields_no_words(engine: Engine) -> None:
    assert await recognise(engine, recording("sb_noise2.wav").pcm()) == []


async def test_streaming_loses_nothing_against_decoding_whole_segments(
    engine: Engine, model: BlockingModel
) -> None:
    spoken = [(r.text, r.pcm()) for r in recordings() if r.text and r.seconds < 8]

    streamed = [(text, text_of(await recognise(engine, pcm))) for text, pcm in spoken]
    direct = [
        (text, " ".join(result.text for result in recognise_directly(pcm, model)))
        for text, pcm in spoken
    ]

    assert word_error_rate(streamed) <= word_error_rate(direct) + 0.02


def worker_of(recognition: Recognition) -> int:
    """Return the process id of the worker that serves a recognition."""
    assert recognition._attempt is not None
    session = recognition._attempt.session
    assert isinstance(session, WorkerSession)
    return session._worker.pid


async def kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


async def freeze(worker: int) -> None:
    os.kill(worker, signal.SIGSTOP)


async def starve(worker: int) -> None:
    """Let it run for a quarter of the time, until it ends."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(worker, signal.SIGSTOP)
            await asyncio.sleep(0.06)
            os.kill(worker, signal.SIGCONT)
            await asyncio.sleep(0.02)


def is_in_second_segment(result: Result) -> bool:
    return result.segment == 1 and not result.is_final and len(result.text) > 20


async def recognise_disturbed(
    engine: Engine,
    pcm: bytes,
    disturb: Callable[[int], Awaitable[None]],
    *,
    at: Callable[[Result], bool] = is_in_second_segment,
) -> list[Result]:
    """Return the finals of `pcm`, whose worker is disturbed at the first such result."""
    finals: list[Result] = []
    disturbing: asyncio.Future[None] | None = None
    async with engine.recognise(RecognitionOptions()) as recognition, asyncio.timeout(120):
        for position in range(0, len(pcm), CHUNK):
            recognition.write(pcm[position : position + CHUNK])
        recognition.end()
        async for result in recognition:
            if result.is_final and result.text:
                finals.append(result)
            if disturbing is None and at(result):
                disturbing = asyncio.ensure_future(disturb(worker_of(recognition)))
    assert disturbing is not None
    disturbing.cancel()
    return finals


@pytest.mark.parametrize("disturb", [kill, freeze, starve])
async def test_a_disturbed_worker_loses_no_final_and_doubles_none(
    kind: Kind, disturb: Callable[[int], Awaitable[None]]
) -> None:
    spoken = SENTENCES[:2]
    pcm = b"".join(flite(sentence) + silence(1.0) for sentence in spoken)
    # A frozen worker must be replaced soon, and a starved one not at all.
    policies: dict[object, Policy] = {
        freeze: Policy(stall_timeout=2.0),
        starve: Policy(attempts=1),
    }
    async with kind.engine(slots=1, policy=policies.get(disturb)) as engine:
        undisturbed = [result for result in await recognise(engine, pcm) if result.is_final]
        finals = await recognise_disturbed(engine, pcm, disturb)

    assert len(finals) == len(undisturbed)
    for result, expected in zip(finals, undisturbed, strict=True):
        assert result.start == pytest.approx(expected.start, abs=0.3)
        assert result.end == pytest.approx(expected.end, abs=0.3)
    if kind.is_repeatable:
        assert text_of(finals) == text_of(undisturbed)
    assert word_error_rate([(" ".join(spoken), text_of(finals))]) < kind.word_error_rate + 0.05


async def test_a_killed_worker_loses_nothing_where_a_segment_ends_within_speech(kind: Kind) -> None:
    pcm = flite(" ".join(SENTENCES * 2))
    async with kind.engine(slots=1) as engine:
        undisturbed = text_of(await recognise(engine, pcm))
        # All audio is there, so the worker is in the words that follow at once.
        finals = await recognise_disturbed(engine, pcm, kill, at=lambda result: result.is_final)

    if kind.is_repeatable:
        assert text_of(finals) == undisturbed
    assert word_error_rate([(undisturbed, text_of(finals))]) < 0.1


@pytest.mark.parametrize("name", ["encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"])
@pytest.mark.parametrize("damage", ["cut", "another"])
async def test_a_damaged_file_of_a_model_is_named_at_the_start(
    tmp_path: Path, name: str, damage: str
) -> None:
    if not is_installed():
        pytest.skip("moonshine is not installed: it has no package for this machine")
    files = find_model()
    for file in (files.encoder, files.decoder, files.vocabulary):
        (tmp_path / file.name).symlink_to(file)
    content = (tmp_path / name).read_bytes()[:-1_000]
    (tmp_path / name).unlink()
    if damage == "cut":
        (tmp_path / name).write_bytes(content)
    else:
        other = files.encoder if name != files.encoder.name else files.decoder
        (tmp_path / name).symlink_to(other)

    with pytest.raises(EngineUnavailable, match=rf"{name} is damaged .* again"):
        async with MoonshineEngine(slots=1, folder=str(tmp_path)):
            pass


async def test_a_second_pass_yields_words_in_their_place_too() -> None:
    async with PocketsphinxEngine(slots=1, spare=0, second_pass=True) as engine:
        results = await recognise(engine, flite(SENTENCES[0]))

    assert word_error_rate([(SENTENCES[0], text_of(results))]) < 0.35


async def test_the_loop_stays_free_while_workers_decode(engine: Engine) -> None:
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


def test_noise_cannot_be_recognised_as_profanity() -> None:
    model = pocketsphinx_model.load()

    assert [word for word in WITHHELD if model.decoder.lookup_word(word) is not None] == []
    assert model.decoder.lookup_word("hello") is not None


def test_one_recording_leaves_no_trace_in_the_next(model: BlockingModel) -> None:
    pcm = flite(SENTENCES[1])

    assert recognise_directly(pcm, model) == recognise_directly(pcm, model)


@pytest.mark.parametrize(
    "spoken",
    [
        "no, no, no, no, no, I will not go there with you today",
        "I have a dream, I have a dream, I have a dream, I have a dream, and then he went home",
    ],
)
def test_what_is_said_again_and_again_is_no_loop(
    kind: Kind, model: BlockingModel, spoken: str
) -> None:
    text = " ".join(result.text for result in recognise_directly(flite(spoken), model))

    assert word_error_rate([(spoken, text)]) < kind.word_error_rate


async def test_results_have_the_variant_of_the_language_that_the_stream_named(
    engine: Engine, kind: Kind
) -> None:
    for language in sorted(EMBEDDED_LANGUAGES[kind.name])[:2]:
        async with engine.recognise(RecognitionOptions(language=language)) as recognition:
            recognition.write(flite("go forward ten meters") + silence(1.0))
            recognition.end()
            results = [result async for result in recognition]

        assert {result.language for result in results} == {language}


async def test_the_fork_server_has_one_thread(engine: Engine) -> None:
    assert isinstance(engine, WorkerEngine)
    assert engine._server._process is not None

    assert psutil.Process(engine._server._process.pid).num_threads() == 1


async def test_other_languages_are_refused(engine: Engine) -> None:
    with pytest.raises(UnsupportedLanguage):
        engine.recognise(RecognitionOptions(language="de-DE"))
