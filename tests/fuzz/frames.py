"""What a client may send after its handshake, right, wrong and random, against a running service.

    python -m tests.fuzz.frames --count 200000 [--seed 1]

Each talk is a handful of frames, sent in pieces; a seed decides both. Whatever they are, the
service has to answer in frames of RFC 6455, close with a code that it documents, log no defect, and
be as large afterwards as before. Prints how the talks ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import psutil

from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, handshake, incoming
from tests.support.service import ANY_NUMBER, RunningService, running_service
from transcripts.protocol import (
    CLOSE_INVALID_TEXT,
    CLOSE_MESSAGE_TOO_BIG,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    ERRORS,
    ErrorCode,
)

#: How a talk may end: with a close code, or without one where the client's last frame has no end.
ALLOWED: Final = frozenset(
    {
        "no close frame",
        *map(str, (CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR, CLOSE_INVALID_TEXT, CLOSE_MESSAGE_TOO_BIG)),
        *(str(kind.close_code) for code, kind in ERRORS.items() if code is not ErrorCode.INTERNAL),
    }
)
TARGETS = ("/api/stt/transcribe?sampleRate=16000", "/api/stt/connect?conversationId=fuzz")
PARALLEL = 24
#: A talk has this long to end: a flood of pings is answered slowly. Seconds.
PATIENCE = 30.0
#: Half of the talks leave the service this time before they close, in seconds.
PAUSE = 0.1
#: A service that has not ended a talk by then waits for the rest of a frame. Seconds.
QUIET = 0.5
#: What a service may have grown by when all talks are over: caches, and no more. MiB.
GROWTH_MIB = 32

CONTROLS = ('{"type":"stop"}', '{"type":"start"}', '{"type":"start","interimResults":false}')


class Broken(AssertionError):
    """The service did what it may not do."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What one client sends, and to which endpoint."""

    target: str
    frames: tuple[bytes, ...]
    seed: int


def talk(seed: int) -> Talk:
    """Return the talk of a seed."""
    chance = random.Random(seed)  # noqa: S311 - tests, to be repeated
    frames = tuple(part for _ in range(chance.randint(1, 20)) for part in _some(chance))
    return Talk(chance.choice(TARGETS), frames, seed)


def frame(
    chance: random.Random,
    opcode: int,
    payload: bytes,
    *,
    first: int = 0x80,
    masked: bool = True,
    width: int | None = None,
    size: int | None = None,
) -> bytes:
    """Return one frame. `first` has the bits beside the opcode, `width` and `size` may lie."""
    size = len(payload) if size is None else size
    if width is None:
        width = 0 if size < 126 else 2 if size < 1 << 16 else 8
    short = {0: size & 0x7F, 2: 126, 8: 127}[width]
    head = bytes([first | opcode, (0x80 if masked else 0) | short])
    head += size.to_bytes(8)[8 - width :] if width else b""
    if not masked:
        return head + payload
    key = chance.randbytes(4)
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload) ^ int.from_bytes(whole)
    return head + key + mixed.to_bytes(len(payload))


def _some(chance: random.Random) -> Iterable[bytes]:
    """Return one or a few frames of a kind that chance picks."""
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    return kind(chance)


def _audio(chance: random.Random) -> Iterable[bytes]:
    yield frame(chance, BINARY, bytes(2 * chance.choice([1, 80, 160, 1600, 3200])))


def _text(chance: random.Random) -> Iterable[bytes]:
    contents = [*(control.encode() for control in CONTROLS), b"", b"[]", b"\xff"]
    yield frame(chance, TEXT, chance.choice(contents))


def _fragments(chance: random.Random) -> Iterable[bytes]:
    """A message in pieces, now and then with a ping between them, or without an end."""
    whole = chance.choice([bytes(3200), CONTROLS[0].encode(), "\u00e9".encode() * 9])
    cuts = sorted(chance.randint(0, len(whole)) for _ in range(chance.randint(1, 4)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    opcode = chance.choice([TEXT, BINARY])
    for number, part in enumerate(parts):
        fin = number == len(parts) - 1 and chance.random() < 0.9
        yield frame(chance, CONTINUATION if number else opcode, part, first=0x80 if fin else 0)
        yield from _ping(chance) if chance.random() < 0.1 else ()


def _mixed(chance: random.Random) -> Iterable[bytes]:
    yield frame(chance, chance.choice([TEXT, BINARY]), b"ab", first=0)
    yield frame(chance, BINARY, b"ab")


def _ping(chance: random.Random) -> Iterable[bytes]:
    yield frame(chance, chance.choice([PING, PONG]), chance.randbytes(chance.randint(0, 125)))


def _flood(chance: random.Random) -> Iterable[bytes]:
    return [frame(chance, PING, b"beat")] * 120


def _close(chance: random.Random) -> Iterable[bytes]:
    code = chance.choice([1000, 1005, 2999, 4000]).to_bytes(2)
    yield frame(chance, CLOSE, chance.choice([b"", code[:1], code, code + b"bye", code + b"\xff"]))


def _reserved(chance: random.Random) -> Iterable[bytes]:
    """Bits and opcodes that mean nothing, masks that are missing, controls that are too much."""
    opcode, bits = chance.choice([TEXT, BINARY, PING, CLOSE]), chance.choice([0x10, 0x20, 0x70])
    yield chance.choice(
        [
            frame(chance, opcode, b"", first=0x80 | bits),
            frame(chance, opcode, b"", masked=False),
            frame(chance, chance.choice([3, 7, 11, 15]), b""),
            frame(chance, chance.choice([PING, CLOSE]), bytes(126)),
            frame(chance, chance.choice([PING, CLOSE]), b"", first=0),
        ]
    )


def _lengths(chance: random.Random) -> Iterable[bytes]:
    """Lengths that are too long, or written in more bytes than they need."""
    size = chance.choice([32_002, 65_536, 65_538, 140_000])
    lie = chance.choice([1, 1 << 40, 1 << 63])
    yield chance.choice(
        [frame(chance, BINARY, bytes(size)), frame(chance, BINARY, b"", width=8, size=lie)]
    )


def _noise(chance: random.Random) -> Iterable[bytes]:
    yield chance.randbytes(chance.randint(1, 60))


#: Kinds of frames, and how often they come.
KINDS: Final[dict[Callable[[random.Random], Iterable[bytes]], float]] = {
    _audio: 20,
    _fragments: 8,
    _ping: 6,
    _text: 4,
    _close: 1,
    _mixed: 0.5,
    _reserved: 1,
    _lengths: 0.7,
    _noise: 0.5,
    _flood: 0.05,
}


async def carry_out(url: str, one: Talk) -> str:
    """Have one talk; return how it ended: a close code, or what happened in its place.

    Raises:
        Broken: the service answered with what is no frame or no JSON, or did not end the talk.
    """
    chance = random.Random(one.seed)  # noqa: S311 - tests, to be repeated
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(handshake(one.target.encode()))
            await reader.readuntil(b"\r\n\r\n")
            reading = asyncio.create_task(_answers(reader, writer, chance))
            with contextlib.suppress(OSError):  # what was answered before counts
                await _send(writer, b"".join(one.frames), chance)
                await asyncio.wait({reading}, timeout=chance.choice([0, PAUSE]))
                writer.write(frame(chance, CLOSE, b"\x03\xe8"))
                await asyncio.wait({reading}, timeout=QUIET)
                if not reading.done():
                    writer.write_eof()
            return await reading
    except TimeoutError:
        raise Broken(f"seed {one.seed}: the talk was not ended") from None
    except (ValueError, KeyError) as error:
        raise Broken(f"seed {one.seed}: {error}") from error
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, rest: bytes, chance: random.Random) -> None:
    """Send bytes, cut anywhere."""
    while rest and not writer.is_closing():
        cut = chance.choice([1, 7, 1_000, len(rest), len(rest), len(rest)])
        writer.write(rest[:cut])
        rest = rest[cut:]
        await (asyncio.sleep(0) if chance.random() < 0.9 else writer.drain())


async def _answers(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> str:
    """Read what the service sends up to the end of the connection; return how it closed."""
    end = "no close frame"
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            opcode, payload = await incoming(reader)
            if opcode not in {TEXT, CLOSE, PONG} or end.isdigit():
                raise ValueError(f"frame {opcode} after {end}")
            if opcode == TEXT:
                json.loads(payload)["type"]
            elif opcode == CLOSE:
                end = str(int.from_bytes(payload[:2]))
                with contextlib.suppress(RuntimeError):  # our half of the connection has ended
                    writer.write(frame(chance, CLOSE, payload[:2]))
    return end


async def run(service: RunningService, count: int, seed: int) -> Counter[str]:
    """Carry out talks of `count` frames together; return how they ended.

    Raises:
        Broken: the service did what it may not do.
    """
    process = psutil.Process(service.process.pid)
    before = process.memory_info().rss
    seeds = iter(range(seed << 32, (seed + 1) << 32))
    ends: Counter[str] = Counter()
    sent = 0

    async def client() -> None:
        nonlocal sent
        while sent < count:
            one = talk(next(seeds))
            sent += len(one.frames)
            end = await carry_out(service.url, one)
            if end not in ALLOWED:
                raise Broken(f"seed {one.seed}: {end}")
            ends[end] += 1

    async with asyncio.TaskGroup() as clients:
        for _ in range(PARALLEL):
            clients.create_task(client())
    defects = [entry for entry in service.logs if entry.get("level") in {"error", "critical"}]
    if defects:
        raise Broken(f"logged: {defects[:3]}")
    grown = (process.memory_info().rss - before) >> 20
    if grown > GROWTH_MIB:
        raise Broken(f"the service grew by {grown} MiB")
    ends["frames"] = sent
    ends["MiB grown"] = grown
    return ends


async def _main(count: int, seed: int) -> None:
    async with running_service(**ANY_NUMBER) as service:
        ends = await run(service, count, seed)
    for end, number in ends.most_common():
        sys.stdout.write(f"{number:>8} {end}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=200_000, help="frames")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.count, arguments.seed))
