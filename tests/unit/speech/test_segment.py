from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.segment import (
    SegmentAudio,
    SegmentEnded,
    Segmenter,
    SegmentPolicy,
    SegmentStarted,
)

pytestmark = pytest.mark.unit

FRAME = 512
FRAME_SECONDS = FRAME / 16_000
_COUNTING = (np.arange(1_300 * FRAME) % 65_521).astype("<u2").tobytes()
POLICY = SegmentPolicy(soft_limit=1.6, max_segment=3.2)


@dataclass(slots=True)
class Segment:
    start: float
    pcm: bytes
    end: float | None = None


def stream(frames: int, tail: int = 0) -> bytes:
    """Return audio of which no two neighbouring seconds are alike."""
    return _COUNTING[: (frames * FRAME + tail) * 2]


def cut(
    probabilities: list[float], policy: SegmentPolicy = POLICY, tail: int = 0
) -> tuple[bytes, list[Segment], list[float]]:
    """Return the stream, its segments and what was settled after each frame."""
    pcm = stream(len(probabilities), tail)
    segmenter = Segmenter(policy)
    segments: list[Segment] = []
    settled = [segmenter.settled]
    for number, probability in enumerate(probabilities):
        frame = pcm[number * FRAME * 2 : (number + 1) * FRAME * 2]
        for event in segmenter.feed(probability, frame):
            note(event, segments, settled[-1])
        settled.append(segmenter.settled)
    for event in segmenter.finish(pcm[len(probabilities) * FRAME * 2 :]):
        note(event, segments, settled[-1])
    return pcm, segments, settled


def note(
    event: SegmentStarted | SegmentAudio | SegmentEnded, segments: list[Segment], settled: float
) -> None:
    match event:
        case SegmentStarted(start):
            assert not segments or segments[-1].end is not None
            assert start >= settled
            segments.append(Segment(start, b""))
        case SegmentAudio(pcm):
            assert segments[-1].end is None
            segments[-1].pcm += pcm
        case SegmentEnded(end):
            assert segments[-1].end is None
            segments[-1].end = end


def frames_of(*parts: tuple[float, float]) -> list[float]:
    """Return probabilities from parts of (seconds, probability)."""
    return [p for seconds, p in parts for _ in range(round(seconds / FRAME_SECONDS))]


#: Runs of speech, silence and doubt, as a voice makes them.
runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), st.integers(1, 60)), max_size=20
).map(lambda parts: [p for p, frames in parts for _ in range(frames)])
tails = st.integers(0, FRAME - 1)


@given(runs, tails)
def test_segments_are_ordered_and_hold_exactly_the_audio_of_their_range(
    probabilities: list[float], tail: int
) -> None:
    pcm, segments, settled = cut(probabilities, tail=tail)

    before = 0.0
    for segment in segments:
        assert segment.end is not None
        assert before <= segment.start < segment.end
        assert segment.pcm == pcm[round(segment.start * 32_000) : round(segment.end * 32_000)]
        assert len(segment.pcm) <= POLICY.max_segment * 32_000
        before = segment.end
    assert settled == sorted(settled)


@given(runs)
def test_all_speech_beyond_the_shortest_length_is_in_a_segment(probabilities: list[float]) -> None:
    _, segments, _ = cut(probabilities)

    for number in range(2, len(probabilities)):
        if min(probabilities[number - 2 : number + 1]) >= POLICY.start_threshold:
            first, last = (number - 2) * FRAME_SECONDS, (number + 1) * FRAME_SECONDS
            covered = sum(
                max(0.0, min(last, segment.end or 0.0) - max(first, segment.start))
                for segment in segments
            )
            assert covered == pytest.approx(last - first)


def test_a_segment_has_its_pre_roll_and_hang_over() -> None:
    _, [segment], _ = cut(frames_of((1.6, 0.0), (0.96, 1.0), (1.6, 0.0)), SegmentPolicy())

    assert segment.start == pytest.approx(1.6 - 0.3, abs=FRAME_SECONDS)
    assert segment.start >= 1.6 - 0.3
    assert segment.end == pytest.approx(2.56 + 0.5, abs=FRAME_SECONDS)


def test_the_pre_roll_never_reaches_into_the_segment_before() -> None:
    _, [first, second], _ = cut(frames_of((0.32, 1.0), (0.64, 0.0), (0.32, 1.0)))

    assert first.end is not None
    assert second.start >= first.end


def test_a_click_is_no_segment() -> None:
    _, segments, settled = cut(frames_of((1.0, 0.0), (0.064, 1.0), (1.0, 0.0)))

    assert segments == []
    assert settled[-1] == pytest.approx(len(settled) * FRAME_SECONDS - 0.3, abs=2 * FRAME_SECONDS)


def test_a_wavering_voice_is_one_segment() -> None:
    _, segments, _ = cut([1.0] * 4 + [0.4, 0.6] * 15)

    assert len(segments) == 1


def test_doubt_alone_opens_no_segment() -> None:
    assert cut([0.4] * 100)[1] == []


def test_past_the_soft_limit_the_first_pause_ends_the_segment() -> None:
    _, [segment, _], _ = cut(frames_of((2.08, 1.0), (0.032, 0.0), (0.96, 1.0)))

    assert segment.end == pytest.approx(2.112)


def test_without_a_pause_the_cut_is_plain_and_no_sample_is_lost() -> None:
    _, segments, _ = cut([1.0] * 300)

    assert [segment.start for segment in segments] == pytest.approx([0.0, 3.2, 6.4])
    assert [segment.end for segment in segments] == pytest.approx([3.2, 6.4, 9.6])


def test_the_end_of_the_stream_closes_the_open_segment_with_the_last_sample() -> None:
    pcm, [segment], _ = cut([1.0] * 10, tail=100)

    assert segment.pcm == pcm


def test_settled_stays_at_the_start_of_the_open_segment() -> None:
    _, [segment], settled = cut(frames_of((0.96, 0.0), (0.96, 1.0)))

    assert settled[-1] == segment.start


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_threshold": 0.2, "end_threshold": 0.4},
        {"start_threshold": 1.2},
        {"end_threshold": -0.1},
        {"soft_limit": 30.0},
        {"soft_limit": 19.95},
        {"soft_limit": 0.2},
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="="):
        SegmentPolicy(**wrong)
