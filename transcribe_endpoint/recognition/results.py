"""Rendering of recognised words as a Result of the service's TranscriptEvent. Pure.

The members of a result differ between operations; Amazon's model lists them
(`speech/transcribe_values.py`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from transcribe_endpoint.requests import TranscribeRequest

#: Words at the end of a partial that may still change, for each level of stability.
UNSTABLE_WORDS: Final = {"high": 1, "medium": 3, "low": 6}
#: Replaces a masked word of the vocabulary filter.
MASK: Final = "***"

#: A word and the mark that follows it.
_MARKED = re.compile(r"(.*\w)([.,;:!?])", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWord:
    """A word with the punctuation mark that follows it, if any. Times are seconds."""

    text: str
    start: float
    end: float
    confidence: float = 0.98
    #: Number of the voice, as the service writes it: `0`, `1`.
    speaker: str | None = None
    #: Type of the personal information that it is, such as `NAME`.
    pii: str | None = None
    #: Whether it is in the vocabulary filter.
    filtered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenSegment:
    """The words of one segment of one channel so far; at least one."""

    #: From 0 over the whole stream, whatever the channel.
    number: int
    words: Sequence[SpokenWord]
    is_final: bool
    channel: int = 0
    #: None: the stream's language.
    language: str | None = None


def language_of(request: TranscribeRequest) -> str:
    """Return the language of a stream for segments that have none."""
    options = request.language_options or ("en-US",)
    return request.language_code or request.preferred_language or options[0]


def render(segment: SpokenSegment, request: TranscribeRequest) -> dict[str, Any]:
    """Return a segment as a Result of the operation that began its stream."""
    items = [_only(request.operation.item, item) for item in _items(segment, request)]
    alternative: dict[str, Any] = {"Transcript": _joined(items), "Items": items}
    if segment.is_final and request.content_identification:
        alternative["Entities"] = [
            _entity(word, request) for word in segment.words if _is_pii(word, request)
        ]
    result: dict[str, Any] = {
        "ResultId": str(uuid.uuid5(uuid.UUID(request.session_id), str(segment.number))),
        "StartTime": round(segment.words[0].start, 3),
        "EndTime": round(segment.words[-1].end, 3),
        "IsPartial": not segment.is_final,
        "Alternatives": [alternative],
    }
    if request.channels > 1:
        result["ChannelId"] = f"ch_{segment.channel}"
    if request.identifies:
        language = segment.language or language_of(request)
        result["LanguageCode"] = language
        result["LanguageIdentification"] = _identification(language, request.language_options)
    return _only(request.operation.result, result)


def _only(names: Collection[str], members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name in names}


def _items(segment: SpokenSegment, request: TranscribeRequest) -> Iterator[dict[str, Any]]:
    unstable = UNSTABLE_WORDS.get(request.stability or "", 0)
    settled = len(segment.words) if segment.is_final else len(segment.words) - unstable
    for number, word in enumerate(segment.words):
        stable = None if request.stability is None else number < settled
        yield from _items_of(word, segment, request, stable=stable)


def _items_of(
    word: SpokenWord, segment: SpokenSegment, request: TranscribeRequest, *, stable: bool | None
) -> Iterator[dict[str, Any]]:
    """Yield the item of a word and that of the punctuation mark after it."""
    marked = _MARKED.fullmatch(word.text)
    text, mark = marked.groups() if marked else (word.text, None)
    filtered = _is_filtered(word, text, segment, request)
    method = request.vocabulary_filter_method or "mask"
    common: dict[str, Any] = {"VocabularyFilterMatch": False}
    if stable is not None:
        common["Stable"] = stable
    if segment.is_final and request.show_speaker_label:
        common["Speaker"] = word.speaker or "0"
    if not filtered or method != "remove":
        item = {
            **common,
            "Content": MASK if filtered and method == "mask" else text,
            "StartTime": round(word.start, 3),
            "EndTime": round(word.end, 3),
            "Type": "pronunciation",
        }
        if segment.is_final:
            item["Confidence"] = word.confidence
            if request.content_redaction and _is_pii(word, request):
                item["Content"] = f"[{word.pii}]"
        if filtered and method == "tag":
            item["VocabularyFilterMatch"] = True
        yield item
    if mark is not None:
        end = round(word.end, 3)
        yield {**common, "Content": mark, "StartTime": end, "EndTime": end, "Type": "punctuation"}


def _is_filtered(
    word: SpokenWord, text: str, segment: SpokenSegment, request: TranscribeRequest
) -> bool:
    """Return whether a whole word is in a filter of its language, in any case of letters."""
    if word.filtered:
        return bool(request.vocabulary_filter_names)
    words = request.filtered_words.get(segment.language or language_of(request), frozenset())
    return text.casefold() in words


def _joined(items: Sequence[dict[str, Any]]) -> str:
    text = ""
    for item in items:
        space = " " if text and item["Type"] == "pronunciation" else ""
        text += space + item["Content"]
    return text


def _is_pii(word: SpokenWord, request: TranscribeRequest) -> bool:
    wanted = request.pii_entity_types
    return word.pii is not None and (not wanted or "ALL" in wanted or word.pii in wanted)


def _entity(word: SpokenWord, request: TranscribeRequest) -> dict[str, Any]:
    entity = {
        "StartTime": round(word.start, 3),
        "EndTime": round(word.end, 3),
        "Category": request.given["content-identification-type"],
        "Type": word.pii,
        "Content": word.text.rstrip(".,;:!?"),
        "Confidence": word.confidence,
    }
    return _only(request.operation.entity, entity)


def _identification(language: str, options: Sequence[str]) -> list[dict[str, Any]]:
    """Return the scores of the languages, which add up to 1; the recognised one comes first."""
    others = [option for option in options if option != language]
    rest = [{"LanguageCode": other, "Score": round(0.1 / len(others), 4)} for other in others]
    return [{"LanguageCode": language, "Score": 0.9 if others else 1.0}, *rest]
