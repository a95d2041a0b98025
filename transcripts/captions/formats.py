"""Write captions as SubRip, WebVTT and plain text.

`transcripts.captions.cues` decides which text is shown when. This module writes the formats:

* **SRT** (`.srt`): numbered cues, UTF-8. A cue with which somebody else begins to speak starts
  with a dash. The format knows no escapes, and players take `<...>`, `{...}` and backslashes for
  commands, so those characters give way to `‹...›`, `(...)` and `/`, and `-->` to an arrow.
* **WebVTT** (`.vtt`, https://www.w3.org/TR/webvtt1/): speakers and channels are voices, `<v Ann>`;
  `&`, `<` and `>` are escaped, which also covers `-->`. A note at the top names missing chunks of
  a session, or states that no speech was found.
* **Plain text** (`.txt`): a segment to a line, `Ann: ` before it where the speaker changes, and a
  line in brackets where a session lacks a chunk, or where no speech was found at all.

This is own code because each format takes a dozen lines, and because a library would have to get
escaped text anyway; the tests read the files back with two libraries.
"""
# ruff: noqa: RUF001, RUF002 - the quotation marks that stand in for angle brackets

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from transcripts.captions.cues import DASH, Cue, Spoken, cues
from transcripts.captions.typesetting import clean
from transcripts.documents import Gap, RecordingTranscript, SessionSegment, SessionTranscript
from transcripts.models import Utterance

Transcript: TypeAlias = RecordingTranscript | SessionTranscript

#: The text of captions if nothing was recognised; an empty file might seem to be broken.
NO_SPEECH: Final = "no speech was found"

#: The media types of captions files, by suffix.
CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".srt": "application/x-subrip; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


def captions(transcript: Transcript) -> dict[str, str]:
    """Return all captions of a transcript, by suffix (`transcripts.recordings.keys.CAPTIONS`)."""
    speech = spoken(transcript)
    gaps = transcript.gaps if isinstance(transcript, SessionTranscript) else ()
    shown = cues(speech)
    silent = is_silent(transcript)
    return {
        ".srt": srt(shown),
        ".vtt": vtt(shown, gaps) + (f"\nNOTE\n{NO_SPEECH}\n" if silent else ""),
        ".txt": plain(speech, gaps) + (f"[{NO_SPEECH}]\n" if silent else ""),
    }


def is_silent(transcript: Transcript) -> bool:
    """Return whether audio was transcribed, but no speech was found in it."""
    listened = not isinstance(transcript, SessionTranscript) or bool(transcript.chunks)
    return listened and not transcript.segments


def spoken(transcript: Transcript) -> list[Spoken]:
    """Convert a transcript's segments to the input of `cues` and `plain`.

    A voice is a speaker label; without one it is a channel.
    """
    return [
        Spoken(
            text=segment.text,
            start=segment.start_time,
            end=segment.end_time,
            words=segment.words,
            voice=_voice(segment.speaker_label, segment.channel),
            part=segment.chunk if isinstance(segment, SessionSegment) else 0,
        )
        for segment in transcript.segments
    ]


def spoken_live(utterances: Iterable[Utterance]) -> Iterator[Spoken]:
    """Convert a conversation's utterances, on a timeline that begins with the first one.

    Utterances are placed by their `timestamp`, because each stream counts its own seconds.
    `utterances` are in the order of time. A voice is a speaker, with label and channel if known.
    """
    begin: float | None = None
    for each in utterances:
        moment = each.timestamp.timestamp()
        begin = moment if begin is None else begin
        start = max(0.0, moment - begin)
        shift = start - each.start_time
        yield Spoken(
            text=each.text,
            start=start,
            end=max(start, each.end_time + shift),
            words=tuple(
                word.model_copy(
                    update={
                        "start_time": word.start_time + shift,
                        "end_time": word.end_time + shift,
                    }
                )
                for word in each.words
            ),
            voice=", ".join(filter(None, (each.speaker, _voice(each.speaker_label, each.channel)))),
        )


def srt(shown: Iterable[Cue]) -> str:
    """Return cues as SubRip."""
    return "\n".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(shown, 1)
    )


def vtt(shown: Iterable[Cue], gaps: Sequence[Gap] = ()) -> str:
    """Return cues as WebVTT, with a note about `gaps`."""
    head = ["WEBVTT\n"]
    if gaps:
        lines = "".join(f"{_time(round(gap.at * 1000), '.')} {_describe(gap)}\n" for gap in gaps)
        head.append(f"NOTE\n{lines}")
    blocks = (
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_vtt_text(cue)}\n" for cue in shown
    )
    return "\n".join((*head, *blocks))


def plain(speech: Iterable[Spoken], gaps: Sequence[Gap] = ()) -> str:
    """Return speech as plain text, with missing chunks in brackets."""
    return "".join(plain_lines(speech, gaps))


def plain_lines(speech: Iterable[Spoken], gaps: Sequence[Gap] = ()) -> Iterator[str]:
    """Yield the lines of `plain`, with their ends, as `speech` comes."""
    missing = sorted(gaps, key=lambda gap: gap.chunk, reverse=True)
    before: str | None = None
    for each in speech:
        while missing and missing[-1].chunk < each.part:
            yield f"[{_describe(missing.pop())}]\n"
        text = clean(each.text)
        if text:
            changed = each.voice is not None and each.voice != before
            yield f"{clean(each.voice or '')}: {text}\n" if changed else f"{text}\n"
            before = each.voice
    yield from (f"[{_describe(gap)}]\n" for gap in reversed(missing))


def _voice(label: str | None, channel: int | None) -> str | None:
    if channel is None:
        return label
    return f"Channel {channel + 1}, {label}" if label else f"Channel {channel + 1}"


def _describe(gap: Gap) -> str:
    return f"chunk {gap.chunk}: {gap.reason}"


def _time(moment: int, separator: str) -> str:
    """Return milliseconds as `00:00:01.250`; hours have more digits where they need them."""
    seconds, milliseconds = divmod(moment, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"


_SRT = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")", "\\": "/"})
_VTT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _srt_text(cue: Cue) -> str:
    text = "\n".join(line.replace("-->", "→").translate(_SRT) for line in cue.lines)
    return f"{DASH}{text}" if cue.turn else text


def _vtt_text(cue: Cue) -> str:
    text = "\n".join(cue.lines).translate(_VTT)
    return f"<v {clean(cue.voice).translate(_VTT)}>{text}" if cue.voice else text
