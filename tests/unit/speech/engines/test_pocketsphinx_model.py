from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from speech.engines import segmented
from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event, Progress
from speech.engines.pocketsphinx_model import PocketsphinxModel
from speech.engines.segmented import SegmentRecogniser

pytestmark = pytest.mark.unit

SPEECH = b"\1\0"
SILENCE = b"\0\0"
FRAME = 512
CEPSTRUM = 320  # bytes of a frame of the decoder


@dataclass(slots=True)
class Hypothesis:
    hypstr: str


@dataclass(slots=True)
class Segment:
    word: str
    start_frame: int
    end_frame: int
    prob: float = 0.5


@dataclass(slots=True)
class FakeDecoder:
    """Guesses and decodes what it is given.

    Its audio is its cepstra: of one coefficient, a frame's value is its first byte.
    """

    partial: str | None = None
    segments: list[Segment] | None = None
    received: list[bytes] = field(default_factory=list)
    means: list[float] = field(default_factory=lambda: [40.0])
    new: list[int] = field(default_factory=list)  # frames since the mean was set

    def start_utt(self) -> None:
        self.received.append(b"")

    def process_raw(self, pcm: bytes, *, full_utt: bool = False) -> None:
        assert pcm
        begin = -len(self.received[-1]) % CEPSTRUM
        self.received[-1] += pcm
        if not full_utt:
            self.new += pcm[begin::CEPSTRUM]

    def end_utt(self) -> None:
        pass

    def hyp(self) -> Hypothesis | None:
        return None if self.partial is None else Hypothesis(self.partial)

    def seg(self) -> list[Segment] | None:
        return self.segments

    def get_cmn(self, update: bool) -> str:  # noqa: FBT001 - as the decoder has it
        assert update
        return str((500 * self.means[-1] + sum(self.new)) / (500 + len(self.new)))

    def set_cmn(self, mean: str) -> None:
        self.means.append(float(mean))
        self.new.clear()

    def reinit_feat(self) -> None:
        pass


class FakeVoice:
    """Takes every frame that is not zero for speech."""

    rest = b""

    def frames(self, pcm: bytes) -> Iterator[tuple[float, bytes]]:
        for at in range(0, len(pcm), FRAME * 2):
            frame = pcm[at : at + FRAME * 2]
            yield float(any(frame)), frame


@pytest.fixture(autouse=True)
def _voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmented, "VoiceActivity", FakeVoice)


def audio(kind: bytes, frames: int) -> bytes:
    return kind * FRAME * frames


def recogniser(decoder: Any, *, second_pass: bool = False) -> SegmentRecogniser:
    model = PocketsphinxModel(decoder, second_pass, partial_interval=0.1)
    return model.open(RecognitionOptions())


def results(events: Iterator[Event]) -> list[Result]:
    return [event for event in events if isinstance(event, Result)]


def test_fillers_and_marks_of_variants_are_no_words() -> None:
    decoder = FakeDecoder(
        segments=[
            Segment("<s>", 0, 9),
            Segment("read(2)", 10, 29, prob=1.0000001),
            Segment("[NOISE]", 30, 39),
            Segment("<sil>", 40, 49),
            Segment("++breath++", 50, 54),
            Segment("it", 55, 69, prob=0.25),
            Segment("</s>", 70, 79),
        ]
    )
    stream = recogniser(decoder)

    [final] = results(stream.accept(audio(SILENCE, 50) + audio(SPEECH, 20) + audio(SILENCE, 30)))

    start = (50 - 9) * FRAME / 16_000  # nine frames of pre-roll
    assert final.text == "read it"
    assert [word.start_time for word in final.words] == pytest.approx([start + 0.1, start + 0.55])
    assert [word.end_time for word in final.words] == pytest.approx([start + 0.3, start + 0.7])
    assert [word.confidence for word in final.words] == [1.0, 0.25]
    assert (final.start, final.end) == (final.words[0].start_time, final.words[-1].end_time)


def test_a_partial_is_reported_when_it_is_new_and_not_too_often() -> None:
    decoder = FakeDecoder(partial="hello")
    stream = recogniser(decoder)

    reported = [results(stream.accept(audio(SPEECH, 4))) for _ in range(3)]
    decoder.partial = "hello world"
    soon = [results(stream.accept(audio(SPEECH, 1))) for _ in range(4)]

    assert [[result.text for result in step] for step in reported] == [["hello"], [], []]
    assert [[result.text for result in step] for step in soon] == [[], [], [], ["hello world"]]


@pytest.mark.parametrize("segments", [None, [], [Segment("<sil>", 0, 99)]])
def test_a_partial_that_becomes_no_final_is_withdrawn(segments: list[Segment] | None) -> None:
    stream = recogniser(FakeDecoder(partial="huh", segments=segments))

    reported = results(stream.accept(audio(SPEECH, 20)))
    reported += results(stream.accept(audio(SILENCE, 20)))

    assert [(result.text, result.is_final) for result in reported] == [("huh", False), ("", True)]


def test_without_words_no_result_is_reported_but_the_audio_is_settled() -> None:
    stream = recogniser(FakeDecoder())

    events = list(stream.accept(audio(SPEECH, 20) + audio(SILENCE, 50)))
    end = list(stream.finish())

    [progress] = events
    assert isinstance(progress, Progress)
    assert progress.processed == pytest.approx(70 * 0.032)
    assert progress.settled == pytest.approx((70 - 9) * 0.032)
    assert end == [Progress(70 * 0.032, 70 * 0.032)]


def test_nothing_before_the_open_segment_is_settled_and_its_final_settles_it() -> None:
    decoder = FakeDecoder(segments=[Segment("hello", 0, 9)])
    stream = recogniser(decoder)

    *_, opened = stream.accept(audio(SILENCE, 40) + audio(SPEECH, 20))
    *reported, closed = stream.finish()

    assert isinstance(opened, Progress)
    assert opened.settled == pytest.approx((40 - 9) * 0.032)
    assert [result.text for result in reported if isinstance(result, Result)] == ["hello"]
    assert closed == Progress(60 * 0.032, 60 * 0.032)


def test_a_second_pass_decodes_the_whole_segment_again() -> None:
    decoder = FakeDecoder(segments=[Segment("hello", 0, 9)])
    stream = recogniser(decoder, second_pass=True)

    [final] = results(stream.accept(audio(SPEECH, 20) + audio(SILENCE, 30)))

    first, second = decoder.received
    assert final.text == "hello"
    assert first == second
    assert len(first) == (20 + 16) * FRAME * 2  # with the hang-over


def test_the_mean_follows_the_voice_within_the_first_segment() -> None:
    decoder = FakeDecoder()
    stream = recogniser(decoder)

    list(stream.accept(b"\x46\0" * 16_000))  # a second of 70, where the model expects 40

    first, after_a_step, *_ = decoder.means
    assert first == 40
    assert after_a_step == pytest.approx((30 * 40 + 50 * 70) / 80, abs=0.01)


@pytest.mark.parametrize("frames", [1, 5, 100])
def test_the_mean_does_not_depend_on_how_the_audio_is_cut(frames: int) -> None:
    pcm = audio(SILENCE, 20) + audio(b"\x46\0", 60) + audio(SILENCE, 40) + audio(b"\x20\0", 30)
    whole, cut = FakeDecoder(), FakeDecoder()

    list(recogniser(whole).accept(pcm))
    pieces = recogniser(cut)
    size = frames * FRAME * 2
    for at in range(0, len(pcm), size):
        list(pieces.accept(pcm[at : at + size]))

    assert len(whole.means) > 5
    assert cut.means == whole.means


def test_a_second_pass_leaves_the_mean_of_the_stream() -> None:
    once, twice = FakeDecoder(), FakeDecoder()
    pcm = audio(b"\x46\0", 40) + audio(SILENCE, 30)

    list(recogniser(once).accept(pcm))
    list(recogniser(twice, second_pass=True).accept(pcm))

    assert twice.means == [*once.means, once.means[-1]]
