"""Which audio track of a recording is decoded.

Recorders of screens and meetings write several: one for the microphone, one for what was played,
some of them silent or without a packet. The default track is taken if there is sound in it, else
the first in which there is; without any sound the default, or the first that decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Disposition

from speech.decoding.container import Opened, packets
from speech.decoding.errors import CorruptAudio
from speech.decoding.samples import samples_of

#: Samples beyond this are sound, in units of 16 bit (-60 dB): dither and codecs stay below.
SOUND: Final = 33.0
#: So much is decoded to find out, seconds of all tracks: the silence of days fits into few bytes.
LONGEST_LOOK: Final = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a track after a look at its packets."""

    number: int
    is_default: bool
    decodes: bool
    has_sound: bool


def choose(found: list[Found]) -> int:
    """Return the number of the track to decode; `found` is not empty and in the file's order."""
    in_order = sorted(found, key=lambda each: not each.is_default)  # stable
    with_sound = [each for each in in_order if each.has_sound]
    fit = with_sound or [each for each in in_order if each.decodes] or in_order
    return fit[0].number


def look(opened: Opened) -> list[Found]:
    """Return what the tracks hold. Reads until there is sound in the default one, or for long."""
    decodes: set[int] = set()
    has_sound: set[int] = set()
    looked = 0.0
    default = next((each for each in opened.tracks if _is_default(each)), opened.tracks[0])
    for stream, packet in packets(opened, opened.tracks):
        if stream.index in has_sound:
            continue
        try:
            for frame in stream.decode(packet):
                decodes.add(stream.index)
                samples = samples_of(frame)
                looked += len(samples) / frame.sample_rate
                if np.abs(samples).max(initial=0.0) > SOUND:
                    has_sound.add(stream.index)
        except (av.error.FFmpegError, CorruptAudio):
            continue
        if default.index in has_sound or looked > LONGEST_LOOK:
            break
    audio = list(opened.container.streams.audio)
    return [
        Found(
            number=audio.index(each) + 1,
            is_default=_is_default(each),
            decodes=each.index in decodes,
            has_sound=each.index in has_sound,
        )
        for each in opened.tracks
    ]


def _is_default(stream: AudioStream) -> bool:
    return bool(stream.disposition & Disposition.default)
