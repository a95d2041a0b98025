from __future__ import annotations

import pytest

from ecs_service.api.requests import HttpRequest
from ecs_service.refusal import Refusal
from transcripts.protocol import ConnectParameters, ErrorCode, TranscribeParameters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("conversationId=my%20meeting", "conversationId: must be 1 to 128 letters, digits"),
        ("sampleRate=8000&language=EN", "language: must be a BCP 47 tag such as `en-US`"),
        ("sampleRate=8000&speaker=a%1bb", "speaker: must be a display name of 1 to 64 printable"),
        ("sampleRate=8000&speaker=Jos%E9", "Parameters must be UTF-8"),
    ],
)
def test_a_malformed_query_is_described(query: str, words: str) -> None:
    kind = TranscribeParameters if "sampleRate" in query else ConnectParameters
    with pytest.raises(Refusal) as caught:
        HttpRequest("/", query, {}).parameters(kind)

    assert caught.value.code is ErrorCode.INVALID_PARAMETER
    assert caught.value.message.startswith(words)
    assert "^" not in caught.value.message
