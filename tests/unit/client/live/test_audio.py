from __future__ import annotations

import asyncio
import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

from client.errors import UnreadableAudio
from client.live import audio
from client.live.audio import in_thread, microphones, open_microphone

pytestmark = pytest.mark.unit


async def test_pieces_come_out_in_order_and_the_end_ends() -> None:
    pieces = [bytes([number]) for number in range(100)]
    assert [piece async for piece in in_thread(iter(pieces), ahead=3)] == pieces


async def test_a_slow_consumer_bounds_how_far_the_thread_reads() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    async with aclosing(in_thread(endless(), ahead=4)) as pieces:
        assert await anext(pieces) == b"x"
        await asyncio.sleep(0.05)
        assert taken <= 6


async def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    async with aclosing(in_thread(iter(lambda: b"x", b""), ahead=2)) as pieces:
        await anext(pieces)
    async with asyncio.timeout(5):
        while threading.active_count() > before:  # noqa: ASYNC110 - a thread sets no event
            await asyncio.sleep(0.01)


async def test_an_error_in_the_thread_is_raised_to_the_consumer_after_the_good_pieces() -> None:
    def damaged() -> Iterator[bytes]:
        yield b"good"
        raise OSError("the disk is gone")

    pieces = in_thread(damaged(), ahead=4)
    assert await anext(pieces) == b"good"
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(pieces)


def test_without_portaudio_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *rest, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UnreadableAudio, match="libportaudio2"):
        microphones()


class FakeStream:
    """Calls back from another thread, as PortAudio does."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.closed = False

    def start(self) -> None:
        size = self._options["blocksize"] * 2
        for number in range(3):
            call = threading.Thread(
                target=self._options["callback"], args=(bytearray([number]) * size, 0, None, None)
            )
            call.start()
            call.join()

    def close(self) -> None:
        self.closed = True


def fake_sounddevice(monkeypatch: pytest.MonkeyPatch) -> list[FakeStream]:
    made: list[FakeStream] = []
    devices = [
        {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48_000.0},
        {"name": "Headset", "max_input_channels": 1, "default_samplerate": 44_100.0},
    ]

    def query_devices(device: int | str | None = None, kind: str | None = None) -> Any:
        if kind is None:
            return devices
        if device not in {None, 1, "Headset"}:
            raise ValueError(f"No input device matching {device!r}")
        return devices[1]

    def open_stream(**options: Any) -> FakeStream:
        made.append(FakeStream(**options))
        return made[-1]

    module = SimpleNamespace(
        query_devices=query_devices, RawInputStream=open_stream, PortAudioError=RuntimeError
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return made


def test_only_devices_with_inputs_are_microphones(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch)
    assert microphones() == ["1: Headset (44100 Hz)"]


def test_a_microphone_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch)
    with pytest.raises(UnreadableAudio, match="No input device matching 'Studio'"):
        open_microphone("Studio")


async def test_a_microphone_yields_tenths_of_a_second_at_its_own_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fake_sounddevice(monkeypatch)
    microphone = open_microphone("1")
    async with aclosing(microphone.record()) as frames:
        captured = [await anext(frames) for _ in range(3)]
    assert microphone.format.sample_rate == 44_100
    assert [len(frame) for frame in captured] == [8_820] * 3
    assert [frame[0] for frame in captured] == [0, 1, 2]
    assert made[0].closed


async def test_a_microphone_reports_for_how_long_nothing_was_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([10.0, 10.1, 70.2])
    monkeypatch.setattr(audio, "steady_time", lambda: next(moments))
    fake_sounddevice(monkeypatch)
    microphone = open_microphone("1")
    seen: list[object] = []
    microphone.on_pause = seen.append
    async with aclosing(microphone.record()) as frames:
        async for frame in frames:
            seen.append(frame[0])
            if frame[0] == 2:
                break
    assert seen == [0, 1, pytest.approx(60.0), 2]
