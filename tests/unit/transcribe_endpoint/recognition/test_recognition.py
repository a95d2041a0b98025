"""The results of a stream, by the script and by dictation, and their form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.base import Capabilities
from speech.engines.scripted import ScriptedEngine, ScriptedModel
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
)
from transcribe_endpoint.errors import BadRequest, ServiceError
from transcribe_endpoint.recognition.dictation import Dictation, dictate
from transcribe_endpoint.recognition.embedded import EngineRecogniser
from transcribe_endpoint.recognition.recogniser import Recogniser
from transcribe_endpoint.recognition.script import Script, ScriptError
from transcribe_endpoint.requests import TranscribeRequest

pytestmark = pytest.mark.unit

LINES = "One two.\nThree four five!"


class Collector:
    """Keeps what a recognition reports."""

    def __init__(self) -> None:
        self.results: list[Mapping[str, Any]] = []
        self.errors: list[ServiceError] = []
        self.over = asyncio.Event()

    def on_result(self, result: Mapping[str, Any]) -> None:
        self.results.append(result)

    def on_end(self) -> None:
        self.over.set()

    def on_failure(self, error: ServiceError) -> None:
        self.errors.append(error)
        self.over.set()

    @property
    def partials(self) -> list[str]:
        return [text(result) for result in self.results if result["IsPartial"]]

    @property
    def finals(self) -> list[Mapping[str, Any]]:
        return [result for result in self.results if not result["IsPartial"]]


def text(result: Mapping[str, Any]) -> str:
    return str(result["Alternatives"][0]["Transcript"])


def items(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result["Alternatives"][0]["Items"]
    return found


def asked(**changes: str) -> TranscribeRequest:
    plain = {
        "language-code": "en-US",
        "media-encoding": "pcm",
        "sample-rate": "16000",
        "session-id": "0b5a2a9c-9b3f-4c33-8a63-0fd6ab0a4d9e",
    }
    plain |= {name.replace("_", "-"): value for name, value in changes.items()}
    given = {name: value for name, value in plain.items() if value}
    medical = "specialty" in given
    return TranscribeRequest.parse(
        given, START_MEDICAL_STREAM_TRANSCRIPTION if medical else START_STREAM_TRANSCRIPTION
    )


def recognise(
    recogniser: Recogniser, *pieces: bytes, request: TranscribeRequest | None = None
) -> Collector:
    """Return what is reported of some audio, to its end."""
    collected = Collector()
    recognition = recogniser.recognise(request or asked(), collected)
    for piece in pieces:
        recognition.audio(piece)
    recognition.end()
    return collected


def seconds(amount: float, *, channels: int = 1) -> bytes:
    return bytes(round(amount * 16_000) * 2 * channels)


def test_a_script_yields_a_partial_for_each_word_and_a_final_for_each_line() -> None:
    collected = recognise(Script.of_text(LINES), seconds(2.4))

    assert [text(result) for result in collected.results] == [
        "One",
        "One two.",
        "Three",
        "Three four",
        "Three four five!",
    ]
    assert [result["IsPartial"] for result in collected.results] == [True, False, True, True, False]
    assert collected.over.is_set()


def test_results_have_the_times_of_the_audio_and_one_id_for_each_segment() -> None:
    collected = recognise(Script.of_text(LINES), seconds(2.4))

    first, second = collected.finals
    assert (first["StartTime"], first["EndTime"]) == (0.0, 0.76)
    assert (second["StartTime"], second["EndTime"]) == (1.2, 2.36)
    assert [result["ResultId"] for result in collected.results].count(first["ResultId"]) == 2
    assert [item["Type"] for item in items(first)] == [
        "pronunciation",
        "pronunciation",
        "punctuation",
    ]
    assert items(first)[0] == {
        "Content": "One",
        "StartTime": 0.0,
        "EndTime": 0.36,
        "Type": "pronunciation",
        "Confidence": 0.98,
        "VocabularyFilterMatch": False,
    }


def test_a_script_begins_again_when_it_is_over() -> None:
    collected = recognise(Script.of_text("Ah."), seconds(2.0))

    assert [result["StartTime"] for result in collected.finals] == [0.0, 0.8, 1.6]


def test_the_end_of_the_audio_closes_what_is_open() -> None:
    collected = recognise(Script.of_text(LINES), seconds(1.7))

    assert [text(final) for final in collected.finals] == ["One two.", "Three"]


@given(st.lists(st.integers(min_value=1, max_value=20_000), max_size=12))
def test_a_script_yields_the_same_however_the_audio_is_cut(cuts: list[int]) -> None:
    pieces = [bytes(2 * samples) for samples in cuts]

    cut = recognise(Script.of_text(LINES), *pieces)
    whole = recognise(Script.of_text(LINES), b"".join(pieces))

    assert cut.results == whole.results


def test_stable_words_are_marked_only_when_that_was_asked_for() -> None:
    stabilised = asked(
        enable_partial_results_stabilization="true", partial_results_stability="medium"
    )
    collected = recognise(Script.of_text("a b c d e."), seconds(2.0), request=stabilised)

    longest = collected.results[-2]
    assert [item["Stable"] for item in items(longest)] == [True, False, False, False]
    assert all(item["Stable"] for item in items(collected.finals[0]))
    assert "Stable" not in items(recognise(Script.of_text("a b."), seconds(0.5)).results[0])[0]


def test_finals_have_speakers() -> None:
    collected = recognise(
        Script.of_text(LINES), seconds(2.4), request=asked(show_speaker_label="true")
    )

    assert "Speaker" not in items(collected.results[0])[0]
    assert [items(final)[0]["Speaker"] for final in collected.finals] == ["0", "1"]


def test_channels_alternate() -> None:
    two = asked(enable_channel_identification="true", number_of_channels="2")
    collected = recognise(Script.of_text(LINES), seconds(2.4, channels=2), request=two)

    assert [final["ChannelId"] for final in collected.finals] == ["ch_0", "ch_1"]


def test_an_identified_language_is_reported() -> None:
    unknown = asked(
        language_code="", identify_language="true", language_options="fr-FR,en-US,de-DE"
    )
    final = recognise(Script.of_text("Ah."), seconds(1.0), request=unknown).finals[0]

    assert final["LanguageCode"] == "fr-FR"
    assert final["LanguageIdentification"][0] == {"LanguageCode": "fr-FR", "Score": 0.9}
    assert sum(each["Score"] for each in final["LanguageIdentification"]) == pytest.approx(1)


SECRETS = {
    "segments": [
        {
            "words": [
                {"word": "Ask", "start": 0.1, "end": 0.3},
                {"word": "Jane,", "start": 0.3, "end": 0.6, "pii": "NAME", "speaker": "4"},
                {"word": "damn.", "start": 0.7, "end": 0.9, "filtered": True},
            ],
            "language": "fr-FR",
        }
    ]
}


@pytest.fixture
def secrets(tmp_path: Path) -> Script:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SECRETS), encoding="utf-8")
    return Script.read(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Ask Jane, damn."),
        ({"content_redaction_type": "PII"}, "Ask [NAME], damn."),
        ({"content_redaction_type": "PII", "pii_entity_types": "EMAIL"}, "Ask Jane, damn."),
        ({"vocabulary_filter_name": "f", "vocabulary_filter_method": "mask"}, "Ask Jane, ***."),
        ({"vocabulary_filter_name": "f", "vocabulary_filter_method": "remove"}, "Ask Jane,."),
        ({"vocabulary_filter_name": "f", "vocabulary_filter_method": "tag"}, "Ask Jane, damn."),
    ],
)
def test_names_and_filtered_words_are_treated_as_was_asked(
    secrets: Script, changes: dict[str, str], expected: str
) -> None:
    collected = recognise(secrets, seconds(5.0), request=asked(**changes))

    assert [text(final) for final in collected.finals] == [expected]


def test_identified_names_are_reported_as_entities(secrets: Script) -> None:
    request = asked(content_identification_type="PII")

    final = recognise(secrets, seconds(1.0), request=request).finals[0]

    assert final["Alternatives"][0]["Entities"] == [
        {
            "StartTime": 0.3,
            "EndTime": 0.6,
            "Category": "PII",
            "Type": "NAME",
            "Content": "Jane",
            "Confidence": 0.98,
        }
    ]


def test_a_medical_result_has_no_more_than_amazons_model_of_it(secrets: Script) -> None:
    request = asked(
        specialty="NEUROLOGY", type="CONVERSATION", content_identification_type="PHI",
        show_speaker_label="true",
    )  # fmt: skip

    final = recognise(secrets, seconds(1.0), request=request).finals[0]

    medical = START_MEDICAL_STREAM_TRANSCRIPTION
    assert set(final) == {*medical.result} - {"ChannelId"}
    assert set(items(final)[0]) == {*medical.item}
    assert final["Alternatives"][0]["Entities"] == [
        {"StartTime": 0.3, "EndTime": 0.6, "Category": "PHI", "Content": "Jane", "Confidence": 0.98}
    ]


@pytest.mark.parametrize("content", ["", '{"segments": 3}', '{"segments": [], "seconds": -1}'])
def test_what_is_no_script_is_refused(tmp_path: Path, content: str) -> None:
    for name in ("script.json", "script.txt") if not content else ("script.json",):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ScriptError):
            Script.read(path)


# --- dictation ----------------------------------------------------------------------------------

WORDS = [(7, 0.1, 0.4), (0, 0.5, 0.7), (479, 1.5, 1.9)]


def test_dictation_reads_the_words_that_are_in_the_samples() -> None:
    collected = recognise(Dictation(), dictate(WORDS, seconds=2.6))

    assert [text(final) for final in collected.finals] == ["word7 word0", "word479"]
    assert [(item["StartTime"], item["EndTime"]) for item in items(collected.finals[0])] == [
        (0.1, 0.4),
        (0.5, 0.7),
    ]
    assert collected.partials == ["word7", "word7 word0", "word479"]


def test_replayed_audio_is_recognised_at_its_new_time() -> None:
    pcm = dictate(WORDS, seconds=2.6)

    collected = recognise(Dictation(), pcm[2 * 16_000 :])  # a second later

    assert [text(final) for final in collected.finals] == ["word479"]
    assert collected.finals[0]["StartTime"] == 0.5


@given(st.lists(st.integers(min_value=1, max_value=9_000), max_size=12))
def test_dictation_yields_the_same_however_the_audio_is_cut(cuts: list[int]) -> None:
    pcm = dictate(WORDS, seconds=2.6)
    total = len(pcm) // 2
    bounds = [0, *(min(at, total) for at in accumulate(cuts)), total]
    pieces = [pcm[2 * start : 2 * end] for start, end in pairwise(bounds) if start < end]

    assert recognise(Dictation(), *pieces).finals == recognise(Dictation(), pcm).finals


def test_each_channel_is_dictated_by_itself() -> None:
    left = np.frombuffer(dictate([(1, 0.1, 0.5)], seconds=2.0), dtype="<i2")
    right = np.frombuffer(dictate([(2, 0.3, 0.9)], seconds=2.0), dtype="<i2")
    two = asked(enable_channel_identification="true", number_of_channels="2")

    collected = recognise(Dictation(), np.column_stack([left, right]).tobytes(), request=two)

    assert [(final["ChannelId"], text(final)) for final in collected.finals] == [
        ("ch_0", "word1"),
        ("ch_1", "word2"),
    ]
    assert len({final["ResultId"] for final in collected.finals}) == 2


# --- an engine ----------------------------------------------------------------------------------


async def test_an_engine_of_this_machine_speaks_as_the_service_would() -> None:
    engine = ScriptedEngine(ScriptedModel(script=("one", "two"), words_per_segment=2))
    async with EngineRecogniser(engine) as embedded:
        collected = recognise(embedded, seconds(2.0))
        await asyncio.wait_for(collected.over.wait(), 5)

    assert [text(final) for final in collected.finals] == ["one two", "one two", "one"]
    assert [final["EndTime"] for final in collected.finals] == [0.8, 1.6, 2.0]


async def test_two_channels_are_two_streams_of_the_engine() -> None:
    two = asked(enable_channel_identification="true", number_of_channels="2", sample_rate="48000")
    engine = ScriptedEngine(ScriptedModel(script=("one",), words_per_segment=1))
    async with EngineRecogniser(engine) as embedded:
        collected = recognise(embedded, bytes(48_000 * 4), request=two)
        await asyncio.wait_for(collected.over.wait(), 5)

    ends = {(final["ChannelId"], final["EndTime"]) for final in collected.finals}
    assert ends == {("ch_0", 0.4), ("ch_0", 0.8), ("ch_1", 0.4), ("ch_1", 0.8)}
    assert len({final["ResultId"] for final in collected.finals}) == 4


async def test_a_language_that_the_engine_does_not_know_is_a_bad_request() -> None:
    engine = ScriptedEngine()
    engine.capabilities = Capabilities(languages=frozenset({"en-US"}))
    async with EngineRecogniser(engine) as embedded:
        collected = recognise(embedded, request=asked(language_code="fr-FR"))
        await asyncio.wait_for(collected.over.wait(), 5)

    assert [type(error) for error in collected.errors] == [BadRequest]


async def test_a_closed_stream_reports_no_more() -> None:
    engine = ScriptedEngine()
    collected = Collector()
    async with EngineRecogniser(engine) as embedded:
        recognition = embedded.recognise(asked(), collected)
        recognition.audio(seconds(1.0))
        recognition.close()
        recognition.close()

    assert not collected.results
    assert not collected.over.is_set()
