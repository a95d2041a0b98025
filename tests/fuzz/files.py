"""Mutated recordings: whatever a file holds, decoding it gives audio or a verdict on the file.

    .venv/bin/python -m tests.fuzz.files --count 10000

Each number is one mutated file, the same on every machine with the same PyAV. Files are decoded in
child processes, so that one that crashes FFmpeg is found, too.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Final

import av

from speech.decode import DecodeError, decode
from tests.support.audio_files import audio_file, tone

#: container, codec, rate in Hz, sample format, channels
SEEDS: Final = (
    ("wav", "pcm_s16le", 16_000, "s16", 1),
    ("wav", "pcm_f32le", 48_000, "flt", 2),
    ("wav", "pcm_s24le", 44_100, "s32", 6),
    ("wav", "pcm_mulaw", 8_000, "s16", 1),
    ("w64", "pcm_s16le", 16_000, "s16", 1),
    ("aiff", "pcm_s16be", 44_100, "s16", 2),
    ("caf", "pcm_s16be", 16_000, "s16", 1),
    ("au", "pcm_s16be", 16_000, "s16", 1),
    ("flac", "flac", 44_100, "s16", 2),
    ("mp3", "libmp3lame", 44_100, "s16p", 1),
    ("ogg", "libopus", 48_000, "s16", 1),
    ("ogg", "libvorbis", 44_100, "fltp", 2),
    ("webm", "libopus", 48_000, "s16", 1),
    ("matroska", "aac", 48_000, "fltp", 2),
    ("ipod", "aac", 44_100, "fltp", 1),
    ("ipod", "alac", 44_100, "s16p", 2),
    ("mp4", "aac", 48_000, "fltp", 8),
    ("adts", "aac", 44_100, "fltp", 1),
    ("asf", "wmav2", 44_100, "fltp", 1),
    ("avi", "pcm_s16le", 16_000, "s16", 2),
    ("mpegts", "mp2", 48_000, "s16", 2),
    ("wv", "wavpack", 44_100, "s16p", 2),
    ("tta", "tta", 44_100, "s16", 1),
    ("flv", "libmp3lame", 44_100, "s16p", 1),
)
#: A file of some kilobytes may take so long, seconds of CPU.
PATIENCE: Final = 20.0
#: A mutated file gets no longer by joining, bytes.
_LONGEST: Final = 400_000
#: Output of one file that is looked at, bytes: a day of audio is as good as two.
_ENOUGH: Final = 64 * 1024 * 1024


@functools.cache
def seed_file(number: int, seconds: float = 0.4) -> bytes:
    """Return a good recording of one of the `SEEDS`; `b""` where this PyAV cannot write it."""
    container_format, codec, rate, sample_format, channels = SEEDS[number % len(SEEDS)]
    try:
        return audio_file(
            tone(seconds, rate, channels),
            container_format,
            codec,
            rate=rate,
            sample_format=sample_format,
            channels=channels,
            title="Gespräch",
        )
    except (av.error.FFmpegError, ValueError):
        return b""


def mutated(number: int) -> bytes:
    """Return the mutated file of a number."""
    chance = random.Random(number)  # noqa: S311 - to be the same each time
    data = bytearray(seed_file(number))
    if not data:
        data = bytearray(seed_file(0))
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        chance.choice(_MUTATIONS)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a position; every other time in the header, where lengths and codecs are stated."""
    return chance.randrange(min(len(data), chance.choice((64, 512, len(data) + 1))) or 1)


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    values = (b"\0", b"\xff", b"\x7f", b"\x80", bytes([chance.randrange(256)]))
    data[at : at + 4] = chance.choice(values) * chance.choice((1, 2, 4, 8))


def _number(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    value = chance.choice((0, 1, 2, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, len(data)))
    data[at : at + 4] = value.to_bytes(4, chance.choice(("little", "big")))


def _remove(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 4, 100, 4_000))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = data[at : at + chance.choice((1, 4, 100, 4_000))]


def _insert(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.randbytes(chance.choice((1, 4, 100, 4_000)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _join(data: bytearray, chance: random.Random) -> None:
    other = bytes(data) if chance.choice((True, False)) else seed_file(chance.randrange(len(SEEDS)))
    if len(data) + len(other) < _LONGEST:
        data += other


_MUTATIONS: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    _flip,
    _flip,
    _flip,
    _overwrite,
    _overwrite,
    _number,
    _number,
    _remove,
    _repeat,
    _insert,
    _cut,
    _join,
)


def verdict(data: bytes) -> str:
    """Return what becomes of a file: `audio`, the verdict on it, or `FAULT: ...`."""
    began = time.process_time()
    got = 0
    try:
        with contextlib.closing(decode(io.BytesIO(data), chunk_seconds=10.0)) as pieces:
            for piece in pieces:
                got += len(piece)
                if got > _ENOUGH:
                    break
    except DecodeError as error:
        outcome = type(error).__name__
    except Exception as error:  # noqa: BLE001 - the very thing that is looked for
        return f"FAULT: {type(error).__name__}: {error}"
    else:
        outcome = "audio"
    took = time.process_time() - began
    return outcome if took < PATIENCE else f"FAULT: took {took:.0f} s of CPU"


def faults(numbers: range, *, processes: int = 2) -> tuple[list[tuple[int, str]], Counter[str]]:
    """Return the numbers of files with which something is wrong, and how often each verdict was."""
    shares = [numbers[share::processes] for share in range(processes)]
    found: list[tuple[int, str]] = []
    verdicts: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    running = [_Child(context, share) for share in shares if len(share)]
    for child in running:
        for number, outcome in child.outcomes():
            verdicts[outcome.split(":")[0]] += 1
            if outcome.startswith("FAULT"):
                found.append((number, outcome))
    return found, verdicts


class _Child:
    """A process that decodes a share of the files; another takes over where one crashes."""

    def __init__(self, context: multiprocessing.context.SpawnContext, share: range) -> None:
        self._context = context
        self._share = share
        self._start(0)

    def _start(self, first: int) -> None:
        self._next = first
        ours, theirs = self._context.Pipe(duplex=False)
        self._connection: Connection = ours
        self._process = self._context.Process(
            target=_decode, args=(theirs, self._share[first:]), daemon=True
        )
        self._process.start()
        theirs.close()

    def outcomes(self) -> Iterator[tuple[int, str]]:
        """Yield each number with its verdict."""
        while self._next < len(self._share):
            number = self._share[self._next]
            try:
                outcome = (
                    self._connection.recv()
                    if self._connection.poll(3 * PATIENCE)
                    else "FAULT: hangs"
                )
            except EOFError:
                outcome = "FAULT: crashes the process"
            yield number, outcome
            if outcome in ("FAULT: hangs", "FAULT: crashes the process"):
                self._process.kill()
                self._process.join()
                self._start(self._next + 1)
            else:
                self._next += 1
        self._process.join()


def _decode(connection: Connection, numbers: range) -> None:
    av.logging.set_level(None)
    for number in numbers:
        connection.send(verdict(mutated(number)))


def main() -> int:
    """Decode files and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--count", type=int, default=10_000, help="how many files")
    wanted = parser.parse_args()
    found, verdicts = faults(range(wanted.first, wanted.first + wanted.count))
    for number, outcome in found:
        sys.stdout.write(f"{number} ({SEEDS[number % len(SEEDS)][0]}): {outcome}\n")
    sys.stdout.write(f"{wanted.count} files: {dict(verdicts)}, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
