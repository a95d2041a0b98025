"""Which transcriber a machine gets, and what Whisper's results become."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.transcribers import whisper
from speech.transcribers.choice import (
    Kind,
    Machine,
    TranscriberSpec,
    choose_kind,
    create_transcriber,
    find_unused_settings,
)
from speech.transcribers.errors import BadRecording, TranscriberUnavailable
from speech.transcribers.whisperx import to_segments

pytestmark = pytest.mark.unit

BARE = Machine(packages=frozenset(), gpu=False)
LAPTOP = Machine(packages=frozenset({"faster_whisper"}), gpu=False, without_gpu="no driver")
GPU = Machine(packages=frozenset({"faster_whisper", "whisperx"}), gpu=True)
CPU_WITH_ALL = Machine(packages=frozenset({"faster_whisper", "whisperx"}), gpu=False)


@pytest.mark.parametrize(
    ("spec", "machine", "expected"),
    [
        (TranscriberSpec(), BARE, "embedded"),
        (TranscriberSpec(), LAPTOP, "embedded"),
        (TranscriberSpec(model="m"), LAPTOP, "faster-whisper"),
        (TranscriberSpec(model="m"), CPU_WITH_ALL, "faster-whisper"),
        (TranscriberSpec(), GPU, "whisperx"),
        (TranscriberSpec(model="m"), GPU, "whisperx"),
        (TranscriberSpec(kind="embedded", model="m"), GPU, "embedded"),
    ],
)
def test_a_machine_gets_the_best_that_it_can_run(
    spec: TranscriberSpec, machine: Machine, expected: Kind
) -> None:
    assert choose_kind(spec, machine) == expected


@pytest.mark.parametrize(
    ("spec", "machine", "message"),
    [
        (TranscriberSpec(model="m"), BARE, "MODEL is given"),
        (TranscriberSpec(kind="faster-whisper"), LAPTOP, "MODEL has to name"),
        (TranscriberSpec(model="/no/such/folder"), LAPTOP, "there is no folder"),
        (TranscriberSpec(language="de"), BARE, "knows English only"),
        (TranscriberSpec(device="cuda"), LAPTOP, "no GPU can be used: no driver"),
        (TranscriberSpec(device="cuda", model="m"), LAPTOP, "no GPU can be used: no driver"),
        (TranscriberSpec(device="cuda", kind="whisperx"), LAPTOP, "no GPU can be used: no driver"),
        (TranscriberSpec(kind="whisperx"), LAPTOP, "requirements-whisperx.txt"),
        (TranscriberSpec(kind="faster-whisper", model="m"), BARE, "requirements-whisper.txt"),
    ],
)
def test_incompatible_options_are_refused(
    spec: TranscriberSpec, machine: Machine, message: str
) -> None:
    with pytest.raises(TranscriberUnavailable, match=message):
        create_transcriber(spec, machine)


OF_WHISPERX = TranscriberSpec(
    batch_size=8,
    alignment="always",
    alignment_model="a",
    fetch_models=True,
    token="t",  # noqa: S106 - made up
)
NAMES_OF_WHISPERX = ["BATCH_SIZE", "ALIGNMENT", "ALIGNMENT_MODEL", "FETCH_MODELS", "HF_TOKEN"]


@pytest.mark.parametrize(
    ("spec", "chosen", "names"),
    [
        (TranscriberSpec(), "embedded", []),
        (TranscriberSpec(language="en"), "embedded", []),
        (
            TranscriberSpec(model="m", device="cpu", compute_type="int8"),
            "embedded",
            ["MODEL", "DEVICE", "COMPUTE_TYPE"],
        ),
        (OF_WHISPERX, "embedded", NAMES_OF_WHISPERX),
        (
            TranscriberSpec(model="m", device="cpu", compute_type="int8", language="de"),
            "faster-whisper",
            [],
        ),
        (OF_WHISPERX, "faster-whisper", NAMES_OF_WHISPERX),
        (OF_WHISPERX, "whisperx", []),
        (
            TranscriberSpec(alignment="never", alignment_model="a"),
            "whisperx",
            ["ALIGNMENT_MODEL"],
        ),
    ],
)
def test_settings_that_a_transcriber_has_no_use_for_are_named(
    spec: TranscriberSpec, chosen: Kind, names: list[str]
) -> None:
    assert list(find_unused_settings(spec, chosen)) == names


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("en-US", "en"), ("pt-BR", "pt"), ("zh-Hant-TW", "zh"), ("nb-NO", "no")],
)
def test_a_language_is_known_by_its_tag(tag: str, code: str) -> None:
    assert whisper.to_whisper_code(tag, ["en", "pt", "zh", "no"]) == code


def test_a_language_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(BadRecording):
        whisper.to_whisper_code("tlh", ["en"])


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 10_000),
)
def test_whatever_times_a_model_gives_a_word_lies_within_the_recording(
    start: float, end: float, confidence: float, duration: float
) -> None:
    word = whisper.make_word(" it", start, end, confidence, duration=duration)

    if word is None:
        assert not (math.isfinite(start) and math.isfinite(end))
        return
    assert 0 <= word.start_time <= word.end_time <= duration + 0.001
    assert 0 <= word.confidence <= 1


def test_whisperx_words_without_times_are_in_the_text_alone() -> None:
    result = {
        "segments": [
            {
                "start": 0.5,
                "end": 2.0,
                "text": " It costs 20 dollars.",
                "speaker": "SPEAKER_00",
                "words": [
                    {"word": "It", "start": 0.5, "end": 0.7, "score": 0.9, "speaker": "SPEAKER_00"},
                    {"word": "costs", "start": 0.7, "end": 1.1, "score": math.nan},
                    {"word": "20"},
                    {"word": "dollars.", "start": 1.5, "end": 2.5, "score": 0.8},
                ],
            },
            {"start": 3.0, "end": 4.0, "text": "  "},
        ]
    }

    [segment] = to_segments(result, 2.2)

    assert segment.text == "It costs 20 dollars."
    assert [word.word for word in segment.words] == ["It", "costs", "dollars."]
    assert (segment.words[-1].end_time, segment.words[1].confidence) == (2.2, 0.0)
    assert segment.speaker_label == "SPEAKER_00"
