from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.engines.base import Policy, RecognitionOptions, Result
from speech.engines.errors import EngineCrashed
from speech.engines.scripted import ScriptedEngine, ScriptedModel

pytestmark = pytest.mark.unit

PATIENT = Policy(attempts=1_000, first_delay=0.0)
NO_RETRY = Policy(attempts=1)
CHUNK = bytes(3_200)  # 0.1 seconds


async def recognise(
    model: ScriptedModel, chunks: list[bytes], policy: Policy = NO_RETRY
) -> list[Result]:
    async with ScriptedEngine(model, policy=policy).recognise(RecognitionOptions()) as recognition:
        for chunk in chunks:
            recognition.write(chunk)
        recognition.end()
        return [result async for result in recognition]


def finals(results: list[Result]) -> list[Result]:
    return [result for result in results if result.is_final]


async def test_each_stretch_of_audio_yields_a_word() -> None:
    model = ScriptedModel(script=("one", "two", "three"), words_per_segment=2)

    results = await recognise(model, [CHUNK] * 13)  # 1.3 seconds, 0.4 a word

    assert [(r.segment, r.is_final, r.text) for r in results] == [
        (0, False, "one"),
        (0, True, "one two"),
        (1, False, "three"),
        (1, True, "three"),
    ]
    assert [(w.start_time, w.end_time) for w in results[1].words] == [(0.0, 0.4), (0.4, 0.8)]
    assert (results[3].start, results[3].end) == (0.8, 1.2)


async def test_the_same_seed_gives_the_same_words_and_another_seed_others() -> None:
    first, again, other = [
        await recognise(ScriptedModel(seed=seed), [CHUNK] * 100) for seed in (1, 1, 2)
    ]

    assert first == again
    assert [r.text for r in first] != [r.text for r in other]


async def test_the_words_do_not_depend_on_how_the_audio_is_cut() -> None:
    model = ScriptedModel(jitter=0.0001)

    assert await recognise(model, [CHUNK] * 50) == await recognise(model, [CHUNK * 50])


async def test_silence_of_less_than_a_word_yields_nothing() -> None:
    assert await recognise(ScriptedModel(), [CHUNK]) == []


async def test_without_delays_the_words_are_there_when_write_returns() -> None:
    async with ScriptedEngine().recognise(RecognitionOptions()) as recognition:
        recognition.write(CHUNK * 4)

        assert recognition.processed == recognition.written
        assert (await anext(aiter(recognition))).words[0].end_time == 0.4


async def test_delays_add_up_chunk_by_chunk_and_are_seen_as_lag() -> None:
    model = ScriptedModel(delay=0.01, constant_factor=0.2, warmup_penalty=0.05)
    async with ScriptedEngine(model).recognise(RecognitionOptions()) as recognition:
        began = time.monotonic()
        for _ in range(4):
            recognition.write(CHUNK)
        recognition.end()
        assert recognition.lag == pytest.approx(0.4)

        results = [result async for result in recognition]

    assert time.monotonic() - began >= 0.05 + 4 * (0.01 + 0.2 * 0.1)
    assert len(finals(results)) == 1


@pytest.mark.parametrize("rate", ["failure_rate", "panic_rate"])
async def test_a_failure_ends_the_session_with_a_retryable_error(rate: str) -> None:
    with pytest.raises(EngineCrashed) as caught:
        await recognise(ScriptedModel(**{rate: 1.0}), [CHUNK])  # type: ignore[arg-type]  # a rate

    assert caught.value.retryable


async def test_a_panic_loses_what_was_waiting_and_a_failure_what_comes_after() -> None:
    model = ScriptedModel(delay=0.001, failure_rate=1.0)
    async with ScriptedEngine(model, policy=NO_RETRY).recognise(
        RecognitionOptions()
    ) as recognition:
        recognition.write(CHUNK * 4)
        await asyncio.sleep(0)
        assert recognition.lag > 0  # the model works on it before it fails

        with pytest.raises(EngineCrashed):
            await anext(aiter(recognition))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    failure_rate=st.sampled_from([0.0, 0.01, 0.05]),
    panic_rate=st.sampled_from([0.0, 0.01, 0.05]),
    delay=st.sampled_from([0.0, 0.00001]),
    pieces=st.lists(st.integers(1, 9_000), min_size=1, max_size=60),
)
def test_whatever_fails_every_word_comes_out_once_and_in_its_place(
    seed: int, failure_rate: float, panic_rate: float, delay: float, pieces: list[int]
) -> None:
    model = ScriptedModel(
        seed=seed,
        failure_rate=failure_rate,
        panic_rate=panic_rate,
        delay=delay,
        words_per_segment=3,
    )

    results = finals(
        asyncio.run(recognise(model, [bytes(2 * samples) for samples in pieces], PATIENT))
    )

    words = [word for result in results for word in result.words]
    assert [result.segment for result in results] == list(range(len(results)))
    assert len(words) == sum(pieces) // 6_400
    for number, word in enumerate(words):
        assert word.start_time == pytest.approx(number * 0.4)
        assert word.end_time == pytest.approx((number + 1) * 0.4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": -1.0},
        {"failure_rate": 1.5},
        {"panic_rate": -0.5},
        {"word_seconds": 0.0},
        {"words_per_segment": 0},
    ],
)
def test_a_model_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"least|between"):
        ScriptedModel(**wrong)  # type: ignore[arg-type]  # one wrong value each
