"""Makes utterances for tests, fixed ones and random ones."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from hypothesis import strategies as st

from transcripts.models import Utterance, Word

BEGIN = datetime(2026, 11, 20, 17, 29, 3, 250_000, tzinfo=UTC)


def conversation() -> str:
    """Return a conversation id that no other test uses."""
    return f"test-{uuid.uuid4()}"


def utterance(conversation_id: str = "talk", **changes: object) -> Utterance:
    """Return an utterance; `changes` replace fields by name."""
    fields: dict[str, object] = {
        "conversation_id": conversation_id,
        "utterance_id": str(uuid.uuid4()),
        "timestamp": BEGIN,
        "speaker": "Ada",
        "language": "en-US",
        "start_time": 1.25,
        "end_time": 2.5,
        "text": "hello world",
        "words": (
            Word(word="hello", start_time=1.25, end_time=1.75, confidence=0.9),
            Word(word="world", start_time=1.8, end_time=2.5, confidence=0.8),
        ),
    }
    return Utterance.model_validate(fields | changes)


_seconds = st.floats(0, 1e6, allow_subnormal=False)
_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)

_words = st.fixed_dictionaries(
    {
        "word": _texts,
        "start_time": _seconds,
        "end_time": _seconds,
        "confidence": st.floats(0, 1, allow_subnormal=False),
    }
)
_moments = st.integers(0, 4_102_444_800_000).map(
    lambda milliseconds: datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
)

#: Any utterance of moderate length; its moment is in whole milliseconds, as in JSON.
utterances = st.fixed_dictionaries(
    {
        "conversation_id": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", fullmatch=True),
        "utterance_id": st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True),
        "timestamp": _moments,
        "speaker": st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64),
        "speaker_label": st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True),
        "channel": st.none() | st.integers(0, 1),
        "language": st.sampled_from(["en-US", "de", "zh-Hans-CN"]),
        "start_time": _seconds,
        "end_time": _seconds,
        "text": _texts,
        "words": st.lists(_words, max_size=5),
    }
).map(Utterance.model_validate)
