"""The conversion of Transcribe's results. Pure.

Transcribe sends partials of a segment (`IsPartial`) and then its final, under one `ResultId`. The
id may change, the `StartTime` does not. Here the segments of each channel are numbered instead.
Results of a closed segment are dropped, because a final is never changed.

Words are the spoken items. Punctuation is in the text only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from amazon_transcribe.model import Item
from amazon_transcribe.model import Result as ServiceResult

from speech.engines.base import Result
from speech.engines.transcribe.timeline import Timeline
from transcripts.models import Word

#: The results of one segment may differ in their start by so much, in seconds.
SAME_START = 0.01
#: How many ids of closed segments are remembered for each channel.
REMEMBERED_IDS = 8

_Key = tuple[str, float, float, float]  # content, start, end, confidence of a word


@dataclass(slots=True)
class _Channel:
    segment: int = 0
    #: The start of the open segment; `None` if none is open.
    open_since: float | None = None
    #: The ids of closed segments, the latest last.
    closed_ids: list[str] = field(default_factory=list)
    closed_start: float = -1.0
    closed_end: float = 0.0
    #: The words of the last result. Most of them repeat, and their construction is expensive.
    words: list[tuple[_Key, Word]] = field(default_factory=list)


class Segments:
    """Converts the results of one session, and numbers their segments."""

    def __init__(self, channels: int, timeline: Timeline) -> None:
        self._channels = [_Channel() for _ in range(channels)]
        self._timeline = timeline
        self._speakers: dict[str, int] = {}  # by the service's labels, in order of appearance

    @property
    def open_since(self) -> list[float | None]:
        """For each channel the start of its open segment in stream time, if one is open."""
        return [channel.open_since for channel in self._channels]

    @property
    def any_open(self) -> bool:
        """Whether any segment has partials but no final yet."""
        return any(channel.open_since is not None for channel in self._channels)

    def convert(self, received: ServiceResult) -> list[Result]:
        """Convert a result; a final with several speakers becomes one result for each turn.

        Raises:
            ValueError: the result is not in the service's form.
        """
        number = _channel_number(received.channel_id)
        if number >= len(self._channels):
            raise ValueError("unknown channel")
        channel = self._channels[number]
        received_start = _seconds(received.start_time)
        if _is_closed(channel, received.result_id, received_start, _seconds(received.end_time)):
            return []
        alternative = received.alternatives[0] if received.alternatives else None
        text = (alternative.transcript or "").strip() if alternative else ""
        items = alternative.items if alternative else []
        start, end = self._span(received)
        is_final = received.is_partial is False
        if not text and not (is_final and channel.open_since is not None):
            if is_final:
                self._close(channel, received, received_start)
            return []
        words = self._words(channel, items)
        runs = list(_runs(items, text)) if is_final else []
        if len(runs) > 1:
            results = _by_speaker(runs, words, start=start, end=end)
        else:
            speaker = _only_speaker(items) if is_final else _latest_speaker(items)
            results = [(speaker, _result(text, words, start=start, end=end))]
        for speaker, result in results:
            result.speaker_number = self._number_speaker(speaker)
            result.segment = channel.segment
            result.is_final = is_final
            result.language = received.language_code or None
            result.channel = number
            result.stable_words = None if is_final else _stable(items)
            if is_final:
                channel.segment += 1
        if is_final:
            self._close(channel, received, received_start)
        elif channel.open_since is None or start < channel.open_since:
            channel.open_since = start
        return [result for _, result in results]

    def _number_speaker(self, speaker: str | None) -> int | None:
        return None if speaker is None else self._speakers.setdefault(speaker, len(self._speakers))

    def _close(self, channel: _Channel, received: ServiceResult, received_start: float) -> None:
        channel.open_since = None
        channel.words.clear()
        channel.closed_ids.append(received.result_id or "")
        del channel.closed_ids[:-REMEMBERED_IDS]
        channel.closed_start = received_start
        channel.closed_end = _seconds(received.end_time)

    def _span(self, received: ServiceResult) -> tuple[float, float]:
        start = self._timeline.to_stream_time(_seconds(received.start_time))
        return start, max(start, self._timeline.to_stream_time(_seconds(received.end_time)))

    def _words(self, channel: _Channel, items: list[Item]) -> tuple[Word, ...]:
        before = channel.words
        made: list[tuple[_Key, Word]] = []
        for item in items:
            if item.item_type == "punctuation" or not item.content:
                continue
            confidence = item.confidence or 0.0  # often absent in a partial
            key = (item.content, item.start_time or 0.0, item.end_time or 0.0, confidence)
            place = len(made)
            if place < len(before) and before[place][0] == key:
                made.append(before[place])
            else:
                made.append((key, self._word(*key)))
        channel.words = made
        return tuple([word for _, word in made])

    def _word(self, content: str, start: float, end: float, confidence: float) -> Word:
        ours = self._timeline.to_stream_time(_seconds(start))
        return Word(
            word=content,
            start_time=ours,
            end_time=max(ours, self._timeline.to_stream_time(_seconds(end))),
            confidence=min(1.0, max(0.0, confidence)),
        )


def _is_closed(channel: _Channel, result_id: str | None, start: float, end: float) -> bool:
    """Return whether the segment of a result has its final already."""
    if result_id:
        if result_id in channel.closed_ids:
            return True
    elif end <= channel.closed_end:
        return True
    closed_end, closed_start = channel.closed_end, channel.closed_start
    return closed_end > closed_start and abs(start - closed_start) <= SAME_START


def _result(text: str, words: tuple[Word, ...], *, start: float, end: float) -> Result:
    return Result(segment=0, is_final=False, text=text, start=start, end=end, words=words)


def _by_speaker(
    runs: list[_Run], words: tuple[Word, ...], *, start: float, end: float
) -> list[tuple[str | None, Result]]:
    """Return each turn's speaker and result; together they span from `start` to `end`."""
    results = []
    at = 0
    for run in runs:
        spoken = words[at : at + run.words]
        at += run.words
        last = at == len(words)
        until = end if last else max(start, spoken[-1].end_time)
        results.append((run.speaker, _result(run.text, spoken, start=start, end=until)))
        start = until if last else max(until, words[at].start_time)
    return results


@dataclass(slots=True)
class _Run:
    """Consecutive words of one speaker."""

    speaker: str | None
    words: int
    text: str


def _runs(items: list[Item], text: str) -> Iterator[_Run]:
    """Yield the turns of the speakers, each with its part of `text`.

    Yields nothing if the items are not found in the text.
    """
    starts: list[tuple[str | None, int]] = []  # of each turn: speaker, place in the text
    counts: list[int] = []
    at = 0
    for item in items:
        if not item.content:
            continue
        found = text.find(item.content, at)
        if found < 0:
            return
        at = found + len(item.content)
        if item.item_type == "punctuation":
            continue
        speaker = item.speaker
        if not starts:
            starts.append((speaker, 0))
            counts.append(0)
        elif starts[-1][0] is None:
            starts[-1] = (speaker, starts[-1][1])
        elif speaker is not None and speaker != starts[-1][0]:
            starts.append((speaker, found))
            counts.append(0)
        counts[-1] += 1
    if not starts:
        return
    ends = [place for _, place in starts[1:]] + [len(text)]
    for (speaker, place), end, count in zip(starts, ends, counts, strict=True):
        yield _Run(speaker, count, text[place:end].strip())


def _latest_speaker(items: list[Item]) -> str | None:
    """Return the speaker of the latest word in a result."""
    for item in reversed(items):
        if item.speaker is not None and item.item_type != "punctuation":
            return item.speaker
    return None


def _only_speaker(items: list[Item]) -> str | None:
    """Return the speaker of a result; `None` if there is none or more than one."""
    speakers = {item.speaker for item in items if item.item_type != "punctuation"} - {None}
    return speakers.pop() if len(speakers) == 1 else None


def _stable(items: list[Item]) -> int | None:
    """Return how many words from the first the service will not change.

    `None` if the service does not report it, which it does on request only.
    """
    if all(item.stable is None for item in items):
        return None
    count = 0
    for item in items:
        if item.item_type == "punctuation":
            continue
        if not item.stable:
            break
        count += 1
    return count


def _channel_number(label: str | None) -> int:
    """Return the channel of a label, 0 for `ch_0` and without channel identification."""
    if not label:
        return 0
    prefix, _, number = label.partition("_")
    if prefix != "ch" or not (number.isascii() and number.isdecimal()):
        raise ValueError("unknown channel")
    return int(number)


def _seconds(value: float | None) -> float:
    """Return a time of the service, 0 if it is absent.

    Raises:
        ValueError: the value is no time.
    """
    if value is None:
        return 0.0
    if not (0.0 <= value < math.inf):
        raise ValueError("no time")
    return float(value)
