"""Transcripts of recordings for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from transcripts.documents import RecordingTranscript, Segment
from transcripts.models import Word

NOW = datetime(2026, 11, 20, 17, 29, 3, 250_000, tzinfo=UTC)


def transcript(*segments: Segment, **changes: object) -> RecordingTranscript:
    """Return a recording's transcript; `changes` replace fields by name."""
    fields: dict[str, object] = {
        "key": "uploads/a.mp3",
        "etag": '"of-the-audio"',
        "duration": max((each.end_time for each in segments), default=1.0),
        "language": "en-US",
        "engine": "scripted",
        "created_at": NOW,
        "segments": segments,
    }
    return RecordingTranscript.model_validate(fields | changes)


def segment(text: str, start: float = 0.0, pace: float = 0.3, **changes: object) -> Segment:
    """Return a segment whose words take `pace` seconds each, with times for all of them."""
    words = [
        Word(
            word=word,
            start_time=round(start + place * pace, 3),
            end_time=round(start + (place + 0.8) * pace, 3),
            confidence=0.9,
        )
        for place, word in enumerate(text.split())
    ]
    fields: dict[str, object] = {
        "text": text,
        "start_time": start,
        "end_time": words[-1].end_time,
        "words": words,
    }
    return Segment.model_validate(fields | changes)


_texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.lists(
        st.sampled_from(
            [
                *("a", "I", "the", "morning,", "captions.", "Really?", "42", "NOTE"),
                *(
                    "-->",
                    "<b>no</b>",
                    "&",
                    "{\\an8}",
                    "-a-word-of-more-than-forty-two-columns-really-",
                ),
                *("今日は「大事」なお知らせ。", "สวัสดีครับ", "안녕하세요"),
            ]
        ),
        min_size=1,
        max_size=30,
    ).map(" ".join),
)
_seconds = st.floats(0, 120, allow_subnormal=False)
_words = st.tuples(
    st.one_of(_texts, st.sampled_from(["a", "I", "the", "morning"])),
    st.one_of(_seconds, st.just(1.7e308)),
    _seconds,
).map(lambda parts: Word(word=parts[0], start_time=parts[1], end_time=parts[2], confidence=1))


@st.composite
def _segments(draw: st.DrawFn) -> Segment:
    text = draw(_texts)
    start = draw(_seconds)
    end = start + draw(st.floats(0, 20, allow_subnormal=False))
    if draw(st.booleans()):  # words of the text, at even times
        spoken = text.split() or [text]
        step = (end - start) / len(spoken)
        words = tuple(
            Word(
                word=word,
                start_time=start + place * step,
                end_time=start + (place + 1) * step,
                confidence=1,
            )
            for place, word in enumerate(spoken)
        )
    else:  # anything
        words = tuple(draw(st.lists(_words, max_size=5)))
    return Segment(
        text=text,
        start_time=start,
        end_time=end,
        words=words,
        speaker_label=draw(st.sampled_from([None, "SPEAKER_00", "SPEAKER_01"])),
        channel=draw(st.sampled_from([None, 0, 1])),
    )


#: Any transcript, also one that no engine would make: times out of order, words of another text.
transcripts = st.lists(_segments(), max_size=5).map(lambda segments: transcript(*segments))
