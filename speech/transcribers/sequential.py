"""Whisper on one stretch of speech after the other, with word times from the decoder's attention.

It runs faster-whisper on a model that faster-whisper or WhisperX has loaded. It does not use
batches, in which faster-whisper loses text. The recording is decoded in pieces that end in pauses
(`pieces`), so memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from speech.pcm import SAMPLE_RATE
from speech.transcribers import whisper
from speech.transcribers.base import Progress
from speech.transcribers.pieces import Packed, Piece, Samples, cut_pieces
from speech.transcribers.word_times import fit_word_times
from transcripts.documents import Segment

#: Silence that is decoded before and after speech, seconds. In longer pauses word times drift.
AROUND: Final = 0.3
#: Half minutes that vote on the language where the first one leaves doubts.
HALF_MINUTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The result of a recording."""

    segments: tuple[Segment, ...]
    #: Whisper's code; None without speech.
    language: str | None
    #: Of the recording, seconds.
    duration: float


def recognise(
    model: Any,
    pcm: Iterable[bytes],
    *,
    language: str | None,
    progress: Progress,
) -> Recognised:
    """Recognise a recording.

    Args:
        model: a `faster_whisper.WhisperModel`.
        pcm: the recording, 16 kHz, mono, s16le, in parts of any length.
        language: Whisper's code; None detects it in the first speech and keeps it.
        progress: see the port.
    """
    found: list[Segment] = []
    length = 0

    def report_parts() -> Iterator[bytes]:
        for part in pcm:
            progress(length / SAMPLE_RATE)  # a piece takes seconds to be decoded
            yield part

    for piece in cut_pieces(report_parts(), _judge):
        length = piece.start + len(piece.samples)
        segments, used = _recognise_piece(model, piece, language, progress)
        found += segments
        if segments:
            language = used
    return Recognised(
        segments=tuple(found),
        language=language if found else None,
        duration=length / SAMPLE_RATE,
    )


def _judge(samples: Samples) -> Any:
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - only where Whisper runs

    return np.asarray(get_vad_model()(samples)).reshape(-1)


def _recognise_piece(
    model: Any, piece: Piece, language: str | None, progress: Progress
) -> tuple[list[Segment], str | None]:
    """Return the segments of a piece and the language of its decoding."""
    if not piece.speech:
        return [], language
    length = len(piece.samples)
    packed = Packed(piece, around=round(AROUND * SAMPLE_RATE))
    offset = piece.start / SAMPLE_RATE
    decoding, about = model.transcribe(
        packed.samples,
        language=language,
        language_detection_segments=HALF_MINUTES,
        word_timestamps=True,
        condition_on_previous_text=False,  # or a loop, once begun, does not end
        without_timestamps=False,
    )
    decoded = []
    for each in decoding:  # a generator, which decodes
        progress(offset + packed.to_original(each.start, each.end)[1])
        decoded.append(each)
    times = fit_word_times(
        [[packed.to_original(word.start, word.end) for word in each.words] for each in decoded],
        [(begin / SAMPLE_RATE, end / SAMPLE_RATE) for begin, end in piece.speech],
    )
    end = offset + length / SAMPLE_RATE
    segments = []
    for each, fitted in zip(decoded, times, strict=True):
        spoken = [
            (word, offset + start, offset + stop)
            for word, (start, stop) in zip(each.words, fitted, strict=True)
        ]
        first, last = (offset + time for time in packed.to_original(each.start, each.end))
        segment = whisper.make_segment(
            each.text,
            spoken[0][1] if spoken else first,
            spoken[-1][2] if spoken else last,
            (
                whisper.make_word(word.word, start, stop, word.probability, duration=end)
                for word, start, stop in spoken
            ),
            duration=end,
        )
        if segment is not None:
            segments.append(segment)
    return segments, about.language
