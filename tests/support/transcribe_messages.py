"""Messages of Transcribe, as bytes."""

from __future__ import annotations

import json

from amazon_transcribe.eventstream import EventStreamMessageSerializer


def _event(headers: dict[str, str], body: object) -> bytes:
    message: bytes = EventStreamMessageSerializer().serialize(
        {":content-type": "application/json", **headers},
        json.dumps(body).encode(),
    )
    return message


def transcript(
    text: str,
    start: float,
    end: float,
    *,
    partial: bool = False,
    result_id: str | None = None,
    channel: str = "ch_0",
) -> bytes:
    """Return the event of one result; its words share the time evenly."""
    words = text.split()
    step = (end - start) / max(1, len(words))
    items = []
    for number, word in enumerate(words):
        at = start + number * step
        bare = word.rstrip(".,")
        items.append(_item(bare, at, at + step, "pronunciation"))
        if bare != word:
            items.append(_item(word[len(bare) :], at + step, at + step, "punctuation"))
    result = {
        "ResultId": result_id or f"{channel}-{start}",
        "StartTime": start,
        "EndTime": end,
        "IsPartial": partial,
        "ChannelId": channel,
        "Alternatives": [{"Transcript": text, "Items": items}],
    }
    return _event(
        {":message-type": "event", ":event-type": "TranscriptEvent"},
        {"Transcript": {"Results": [result]}},
    )


def _item(content: str, start: float, end: float, kind: str) -> dict[str, object]:
    return {
        "StartTime": start,
        "EndTime": end,
        "Type": kind,
        "Content": content,
        "Confidence": 0.9,
        "VocabularyFilterMatch": False,
    }


def exception(kind: str, text: str) -> bytes:
    """Return the event of an exception."""
    return _event({":message-type": "exception", ":exception-type": kind}, {"Message": text})
