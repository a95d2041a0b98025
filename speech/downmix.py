"""Mixing of several channels to one without losing a voice on any of them.

The mix is the mean of the channels, whatever a layout calls them. Most files have a guess as their
layout, and a mix made for film drops the channel that it believes to be the subwoofer.

The mean of many channels of which one has sound is weak, so it is raised to `WEAKEST` of the
loudest channel. Where the channels cancel each other, as two of opposite phase do, the loudest
replaces the mean. They cancel when their mean is `CANCELLED` times weaker than that of
independent sounds of the same power would be: of n such channels it has the power sum(p) / n^2.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

#: Channels are compared and chosen in blocks of this length, seconds. The mix lags by up to one.
BLOCK_SECONDS: Final = 0.02
#: The time constant of the running mean of a channel's power, seconds.
MEMORY_SECONDS: Final = 0.3
#: The smallest amplitude of the mean, as a share of the loudest channel's (-12 dB).
WEAKEST: Final = 0.25
#: Ratio of amplitudes below which channels cancel (-12 dB).
CANCELLED: Final = 0.25
#: Ratio of amplitudes above which they are mixed again (-6 dB).
RECOVERED: Final = 0.5
#: Another channel replaces the chosen one when it has so many times its power (6 dB).
LOUDER: Final = 4.0

#: The channel that replaces the mean, or None; and the factor of the mean, at most the number of
#: channels.
_Choice = tuple[int | None, float]
_PLAIN: Final[_Choice] = (None, 1.0)


class Downmix:
    """Mixes a stream of channels: call `process` for its audio, then `flush` once.

    The output does not depend on how the input is cut, and has as many samples as the input has
    frames. `process` holds back less than `BLOCK_SECONDS`.

    Args:
        channels: of the input, at least 2.
        sample_rate: of input and output, Hz.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._channels = channels
        self._block = max(1, round(BLOCK_SECONDS * sample_rate))
        self._decay = math.exp(-BLOCK_SECONDS / MEMORY_SECONDS)
        self._pending: Samples = np.empty((0, channels), np.float32)
        self._powers = [0.0] * channels
        self._mixed_power = 0.0
        self._choice: _Choice | None = None

    def process(self, frames: Samples) -> Samples:
        """Take frames, shape (frames, channels); return the complete mix, shape (n,)."""
        if len(self._pending):
            frames = np.concatenate([self._pending, frames])
        whole = len(frames) - len(frames) % self._block
        self._pending = frames[whole:].copy()
        return self._mix(frames[:whole].reshape(-1, self._block, self._channels))

    def flush(self) -> Samples:
        """End the stream and return the rest of the mix."""
        rest, self._pending = self._pending, self._pending[:0]
        return self._mix(rest[np.newaxis]) if len(rest) else np.empty(0, np.float32)

    def _mix(self, blocks: Samples) -> Samples:
        """Mix blocks, shape (blocks, frames, channels)."""
        if self._channels == 2:  # noqa: PLR2004 - twice as fast as `mean`, for the usual case
            mixed: Samples = np.add(blocks[..., 0], blocks[..., 1], dtype=np.float32)
            mixed *= np.float32(0.5)
        else:
            mixed = blocks.mean(axis=2, dtype=np.float32)
        # Numbers of Python from here on: for so few of them they are faster than arrays.
        powers: list[list[float]] = np.einsum("kbn,kbn->kn", blocks, blocks).tolist()
        mixed_powers: list[float] = np.einsum("kb,kb->k", mixed, mixed).tolist()
        for number, mixed_power in enumerate(mixed_powers):
            before = self._choice
            self._measure(powers[number], mixed_power)
            after = self._choice = self._choose()
            if before is None:
                before = after  # the first block
            if before != _PLAIN or after != _PLAIN:
                block = blocks[number]
                mixed[number] = _crossfade(
                    _part(block, mixed[number], before), _part(block, mixed[number], after)
                )
        return mixed.reshape(-1)

    def _measure(self, powers: list[float], mixed_power: float) -> None:
        """Add the powers of a block to the running means."""
        decay = self._decay
        alone = self._alone
        if alone is not None and max(powers) > LOUDER * powers[alone]:
            decay = 0.0  # somebody speaks elsewhere, at once
        self._powers = [old * decay + new for old, new in zip(self._powers, powers, strict=True)]
        self._mixed_power = self._mixed_power * decay + mixed_power

    def _choose(self) -> _Choice:
        powers, alone = self._powers, self._alone
        loudest = max(powers)
        limit = CANCELLED if alone is None else RECOVERED
        if self._mixed_power < limit**2 * sum(powers) / self._channels**2:
            if alone is None or loudest > LOUDER * powers[alone]:
                alone = powers.index(loudest)
            return alone, 1.0
        least = WEAKEST**2 * loudest
        return (None, math.sqrt(least / self._mixed_power)) if self._mixed_power < least else _PLAIN

    @property
    def _alone(self) -> int | None:
        return self._choice[0] if self._choice is not None else None


def _part(block: Samples, mixed: Samples, choice: _Choice) -> Samples:
    alone, gain = choice
    return mixed * np.float32(gain) if alone is None else block[:, alone]


def _crossfade(before: Samples, after: Samples) -> Samples:
    """Crossfade a block from one choice to the next, which avoids a click."""
    ramp = np.arange(1, len(after) + 1, dtype=np.float32) / np.float32(len(after))
    faded: Samples = before + (after - before) * ramp
    return faded
