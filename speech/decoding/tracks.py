"""The choice of the audio track to decode.

Recorders of screens and meetings write several: one for the microphone, one for the sound that was
played, some of them silent or empty. The choice is the default track if it has sound, else the
first with sound; without any sound it is the default, or the first that can be decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Disposition

from speech.decoding.container import OpenPart, read_packets
from speech.decoding.errors import CorruptAudio
from speech.decoding.samples import to_samples

#: Samples above this are sound, in units of 16 bit (-60 dB). Dither and codec noise stay below.
SOUND: Final = 33.0
#: The most that is decoded for the choice, in seconds of all tracks. Days of silence fit into a
#: few bytes.
LONGEST_INSPECTION: Final = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class TrackContent:
    """The facts about one track that `inspect` found."""

    number: int
    is_default: bool
    is_decodable: bool
    has_sound: bool


def choose(found: list[TrackContent]) -> int:
    """Return the number of the track to decode. `found` is in the file's order and not empty."""
    in_order = sorted(found, key=lambda each: not each.is_default)  # stable
    with_sound = [each for each in in_order if each.has_sound]
    fit = with_sound or [each for each in in_order if each.is_decodable] or in_order
    return fit[0].number


def inspect(part: OpenPart) -> list[TrackContent]:
    """Inspect every track, until the default one has sound or `LONGEST_INSPECTION` is reached."""
    decodable: set[int] = set()
    has_sound: set[int] = set()
    decoded = 0.0
    default = next((each for each in part.tracks if _is_default(each)), part.tracks[0])
    for stream, packet in read_packets(part, part.tracks):
        if stream.index in has_sound:
            continue
        try:
            for frame in stream.decode(packet):
                decodable.add(stream.index)
                samples = to_samples(frame)
                decoded += len(samples) / frame.sample_rate
                if np.abs(samples).max(initial=0.0) > SOUND:
                    has_sound.add(stream.index)
        except (av.error.FFmpegError, CorruptAudio):
            continue
        if default.index in has_sound or decoded > LONGEST_INSPECTION:
            break
    audio = list(part.container.streams.audio)
    return [
        TrackContent(
            number=audio.index(each) + 1,
            is_default=_is_default(each),
            is_decodable=each.index in decodable,
            has_sound=each.index in has_sound,
        )
        for each in part.tracks
    ]


def _is_default(stream: AudioStream) -> bool:
    return bool(stream.disposition & Disposition.default)
