"""Format the stored utterances of a conversation as plain text, captions or JSON. Pure.

Plain text and JSON are produced utterance by utterance. Captions need all utterances at once,
because the next one decides when a cue ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Final

from client.errors import UsageError
from client.formats import TranscriptFormat
from transcripts.captions.cues import cues
from transcripts.captions.formats import plain_lines, spoken_live, srt, vtt
from transcripts.documents import ConversationTranscript
from transcripts.models import Utterance

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?", re.ASCII)
#: No calendar has numbers of more digits.
_DIGITS: Final = 20
#: Nothing that is stored is older.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(given: str, now: datetime) -> datetime:
    """Parse a moment: ISO 8601, or a duration before `now` such as `2h`, `1h30m`, `90s` or `7d`.

    A time without a zone is in this machine's zone. A moment before 1970 becomes 1970.

    Raises:
        UsageError: it is neither.
    """
    if given and _DURATION.fullmatch(given):
        parts = re.findall(r"(\d+)([dhms])", given)
        try:
            ago = timedelta(**{_UNITS[unit]: int(count[:_DIGITS]) for count, unit in parts})
            return max(_EPOCH, now - ago)
        except OverflowError:
            return _EPOCH
    try:
        when = datetime.fromisoformat(given)
    except ValueError as error:
        raise UsageError(
            f"--since {given}: it is a time such as 2026-11-20T17:00, or how long ago, such as 2h "
            "or 30m"
        ) from error
    # At its ends the calendar has no room for another zone.
    near = _EPOCH.year < when.year < MAXYEAR
    return max(_EPOCH, when.astimezone(UTC) if near else when.replace(tzinfo=UTC))


def format_utterances(
    about: ConversationTranscript, utterances: Iterable[Utterance], wanted: TranscriptFormat
) -> Iterator[bytes]:
    """Yield utterances in a format, as UTF-8; `about` has the other fields of a JSON document."""
    if wanted is TranscriptFormat.JSON:
        yield from (text.encode() for text in _json(about, utterances))
        return
    speech = spoken_live(utterances)
    if wanted is TranscriptFormat.TXT:
        yield from (line.encode() for line in plain_lines(speech))
        return
    shown = cues(speech)
    yield (srt(shown) if wanted is TranscriptFormat.SRT else vtt(shown)).encode()


def _json(about: ConversationTranscript, utterances: Iterable[Utterance]) -> Iterator[str]:
    """Yield the document with an utterance a line. The list of them is its last field."""
    empty = about.model_dump_json(by_alias=True, exclude_none=True)
    yield empty.removesuffix("]}")
    before = "\n"
    for each in utterances:
        yield before + each.model_dump_json(by_alias=True, exclude_none=True)
        before = ",\n"
    yield "\n]}\n"
