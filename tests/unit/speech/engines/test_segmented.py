from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from speech.engines import segmented
from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event, Progress
from speech.engines.segmented import Hypothesis, PartialsTime, SegmentRecogniser
from speech.segment import SegmentPolicy
from transcripts.models import Word

pytestmark = pytest.mark.unit

FRAME = 1_024  # bytes
SPEECH = b"\1\0" * (FRAME // 2)
SILENCE = bytes(FRAME)


class FakeVoice:
    """Takes every frame that is not zero for speech."""

    def __init__(self) -> None:
        self.rest = b""

    def frames(self, pcm: bytes) -> Iterator[tuple[float, bytes]]:
        pcm = self.rest + pcm
        whole = len(pcm) // FRAME * FRAME
        self.rest = pcm[whole:]
        for at in range(0, whole, FRAME):
            yield float(any(pcm[at : at + FRAME])), pcm[at : at + FRAME]


@dataclass(slots=True)
class CountingDecoder:
    """Recognises a word for each second of a segment, and decodes all of it for each partial."""

    share: float = 0.0
    least: float = 0.5  # seconds between partials
    decoded: list[int] = field(default_factory=list)  # bytes of each guess
    pauses: list[int] = field(default_factory=list)  # bytes of each segment at a pause
    ended_in_pause: bool = False
    segments: list[bytearray] = field(default_factory=list)
    start: float = 0.0

    def begin(self, start: float) -> CountingDecoder:
        self.start = start
        self.segments.append(bytearray())
        return self

    def interval(self, length: float) -> float:
        return max(self.least, self.share * length)

    def feed(self, pcm: bytes) -> None:
        self.segments[-1] += pcm

    def guess(self) -> Hypothesis:
        self.decoded.append(len(self.segments[-1]))
        return self.finish(is_paused=False)

    def pause(self) -> Hypothesis:
        self.pauses.append(len(self.segments[-1]))
        return self.finish(is_paused=False)

    def finish(self, *, is_paused: bool) -> Hypothesis:
        self.ended_in_pause = is_paused
        words = tuple(
            Word(
                word=f"w{number}",
                start_time=self.start + number,
                end_time=self.start + number + 1,
                confidence=0.5,
            )
            for number in range(len(self.segments[-1]) // 32_000)
        )
        text = " ".join(f"{word.word}." for word in words)
        return Hypothesis(text, words, stable_words=max(0, len(words) - 1))


@pytest.fixture(autouse=True)
def _voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmented, "VoiceActivity", FakeVoice)


def recognised(decoder: CountingDecoder, pcm: bytes, *, step: int = 3 * FRAME) -> list[Event]:
    recogniser = SegmentRecogniser(decoder, RecognitionOptions(language="en-GB"), SegmentPolicy())
    events: list[Event] = []
    for at in range(0, len(pcm), step):
        events += recogniser.accept(pcm[at : at + step])
    return [*events, *recogniser.finish()]


def results(events: list[Event]) -> list[Result]:
    return [event for event in events if isinstance(event, Result)]


def test_a_segment_has_partials_and_then_its_final() -> None:
    *partials, final = results(recognised(CountingDecoder(), SPEECH * 100 + SILENCE * 30))

    assert [partial.text for partial in partials] == ["w0.", "w0. w1.", "w0. w1. w2."]
    assert [partial.stable_words for partial in partials] == [0, 1, 2]
    assert all(not partial.is_final and partial.start == 0 for partial in partials)
    assert final.is_final
    assert (final.text, final.language) == ("w0. w1. w2.", "en-GB")
    assert (final.start, final.end) == (0, 3)


def test_segments_are_numbered_and_placed_in_the_stream() -> None:
    finals = [
        result
        for result in results(recognised(CountingDecoder(), (SPEECH * 40 + SILENCE * 60) * 2))
        if result.is_final
    ]

    assert [final.segment for final in finals] == [0, 1]
    assert finals[1].start == pytest.approx((100 - 9) * 0.032)


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_a_pause_is_decoded_once_and_the_same_however_the_audio_is_cut(step: int) -> None:
    goes_on, ends = CountingDecoder(), CountingDecoder()

    recognised(goes_on, SPEECH * 40 + SILENCE * 10 + SPEECH * 40, step=step * FRAME)
    recognised(ends, SPEECH * 40 + SILENCE * 40, step=step * FRAME)

    assert goes_on.pauses == ends.pauses == [48 * FRAME]  # a quarter of a second after the speech
    assert not goes_on.ended_in_pause
    assert ends.ended_in_pause


def test_where_nobody_reads_partials_nothing_is_decoded_in_a_pause() -> None:
    decoder = CountingDecoder(least=float("inf"))

    [final] = results(recognised(decoder, SPEECH * 70 + SILENCE * 40))

    assert (decoder.decoded, decoder.pauses) == ([], [])
    assert final.text == "w0. w1."


def test_the_end_of_the_audio_belongs_to_the_last_segment() -> None:
    decoder = CountingDecoder()

    recognised(decoder, SPEECH * 40 + SPEECH[:100])

    assert decoder.segments == [SPEECH * 40 + SPEECH[:100]]


def test_the_cost_of_partials_grows_with_the_length_of_the_segment_only() -> None:
    often, seldom = CountingDecoder(), CountingDecoder(share=0.2)

    for decoder in (often, seldom):
        recognised(decoder, SPEECH * 600)

    assert sum(often.decoded) > 2 * sum(seldom.decoded)
    assert sum(seldom.decoded) < 6 * 600 * FRAME


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_finals_do_not_depend_on_how_the_audio_is_cut(step: int) -> None:
    pcm = (SPEECH * 70 + SILENCE * 40) * 3
    expected = [result for result in results(recognised(CountingDecoder(), pcm)) if result.is_final]

    found = results(recognised(CountingDecoder(), pcm, step=step * FRAME))

    assert [result for result in found if result.is_final] == expected


def test_nothing_is_recognised_in_the_lead_in_and_speech_may_go_on_after_it() -> None:
    decoder = CountingDecoder()
    options = RecognitionOptions(lead_in=50 * FRAME / 32_000)
    recogniser = SegmentRecogniser(decoder, options, SegmentPolicy())

    events = [*recogniser.accept(SPEECH * 90 + SILENCE * 30), *recogniser.finish()]

    final = results(events)[-1]
    assert decoder.segments == [SPEECH * 40 + SILENCE * 16]
    assert (final.is_final, final.segment, final.start) == (True, 0, options.lead_in)


def test_the_audio_of_a_final_is_settled() -> None:
    *_, before, final, after, _end = recognised(CountingDecoder(), SPEECH * 63 + SILENCE * 18)

    assert isinstance(before, Progress)
    assert before.settled == 0
    assert isinstance(final, Result)
    assert isinstance(after, Progress)
    assert after.settled > final.end


class Clock:
    """A clock that goes on by `step` seconds between two readings."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def partials_of(took: float, *, is_behind: bool = False) -> int:
    """Return the partials of 60 s of speech of which each took so many seconds."""
    decoder = CountingDecoder()
    recogniser = SegmentRecogniser(
        decoder,
        RecognitionOptions(language="en"),
        SegmentPolicy(),
        partials_time=PartialsTime(Clock(took)),
    )
    second = SPEECH * 31
    for _ in range(60):
        list(recogniser.accept(second, is_behind=is_behind))
    return len(decoder.decoded)


def test_partials_take_their_share_of_the_time_and_finals_are_made_all_the_same() -> None:
    soon, slow = partials_of(0.1), partials_of(4.0)

    assert soon > 50
    # What a stream begins with lets it make one, and the fifth of 60 s three more.
    assert slow == 4


def test_a_stream_that_is_behind_makes_a_quarter_of_the_partials() -> None:
    assert partials_of(4.0, is_behind=True) == 1
    assert partials_of(0.3, is_behind=True) < partials_of(0.3) / 3
