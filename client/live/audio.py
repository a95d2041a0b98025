"""Audio sources of a live stream: a file or a microphone, as asynchronous PCM frames.

Reading a file and recording from a microphone block, so each has a thread of its own. The number
of frames that wait for the socket is bounded.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.audio_files import reason, unreadable
from client.errors import UnreadableAudio
from client.live.pacing import PauseDetector, steady_time
from speech.decode import CorruptAudio, decode
from speech.pcm import PcmFormat

#: Audio in one frame, in seconds: short enough for captions, long enough to be cheap.
FRAME_SECONDS = 0.1
#: Frames that a file is read ahead.
_FRAMES_AHEAD = 20
#: Frames of a microphone that wait while the service does not read: 5 seconds.
_FRAMES_WAITING = 50


# --- a file -----------------------------------------------------------------------------------


async def read_file(path: Path, wanted: PcmFormat) -> AsyncGenerator[bytes, None]:
    """Yield the recording as frames of `FRAME_SECONDS`, decoded a little ahead.

    Raises:
        UnreadableAudio: what follows cannot be read or decoded, or there was nothing at all.
    """
    empty = True
    pieces = decode(
        path,
        sample_rate=wanted.sample_rate,
        channels=wanted.channels,
        chunk_seconds=FRAME_SECONDS,
    )
    try:
        async with aclosing(in_thread(pieces, ahead=_FRAMES_AHEAD)) as frames:
            async for frame in frames:
                empty = False
                yield frame
    except CorruptAudio as error:
        sent = "" if empty else " (what came before was sent)"
        raise UnreadableAudio(f"{path}: {reason(error)}{sent}") from error
    except Exception as error:
        raise unreadable(path, error) from error
    if empty:
        raise UnreadableAudio(f"{path}: the file holds no sound")


async def in_thread(pieces: Iterator[bytes], *, ahead: int) -> AsyncGenerator[bytes, None]:
    """Iterate `pieces` in a thread of its own, at most `ahead` pieces before the consumer.

    Errors of the iterator are raised here. Closing this generator ends the thread after the
    current piece. The thread is a daemon: a read that hangs does not keep the program alive.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
    room = threading.Semaphore(ahead)
    left = threading.Event()

    def hand_over(item: bytes | Exception | None) -> None:
        if not left.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def run() -> None:
        try:
            for piece in pieces:
                room.acquire()
                if left.is_set():
                    break
                hand_over(piece)
            hand_over(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the pieces are consumed
            hand_over(error)

    threading.Thread(target=run, name="read-audio", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            room.release()
            yield item
    finally:
        left.set()
        room.release()


# --- a microphone -----------------------------------------------------------------------------


@dataclass(slots=True)
class Microphone:
    """A microphone; counts the frames that were dropped because nobody took them.

    `on_pause` is called before a frame before which nothing was recorded for some seconds.
    """

    device: str | int | None
    format: PcmFormat
    dropped_frames: int = 0
    on_pause: Callable[[float], None] = lambda _seconds: None

    async def record(self) -> AsyncGenerator[bytes, None]:
        """Yield frames of `FRAME_SECONDS` for ever.

        Raises:
            UnreadableAudio: the device cannot be opened.
        """
        sound = _sounddevice()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_FRAMES_WAITING)
        pauses = PauseDetector(self.format)

        def put(moment: float, frame: bytes) -> None:
            if queue.full():
                self.dropped_frames += 1
            else:
                queue.put_nowait((moment, frame))

        def on_frame(frame: Any, *_: object) -> None:
            loop.call_soon_threadsafe(put, steady_time(), bytes(frame))

        try:
            stream = sound.RawInputStream(
                samplerate=self.format.sample_rate,
                channels=self.format.channels,
                dtype="int16",
                blocksize=round(self.format.sample_rate * FRAME_SECONDS),
                device=self.device,
                callback=on_frame,
            )
            stream.start()
        except (sound.PortAudioError, ValueError) as error:
            raise UnreadableAudio(f"the microphone cannot be opened: {error}") from error
        with closing(stream):
            while True:
                moment, frame = await queue.get()
                if pause := pauses.pause_before(len(frame), moment):
                    self.on_pause(pause)
                yield frame


def open_microphone(device: str | None) -> Microphone:
    """Return the microphone `device` (a number, a part of its name, or None for the default).

    It is used at its own sample rate, in mono: the service resamples.

    Raises:
        UnreadableAudio: PortAudio or the device is missing.
    """
    sound = _sounddevice()
    wanted = int(device) if device is not None and device.isdecimal() else device
    try:
        info = sound.query_devices(wanted, "input")
    except (sound.PortAudioError, ValueError) as error:
        raise UnreadableAudio(
            f"there is no such microphone ({error}); `python -m client mic --list-devices` "
            "shows what there is"
        ) from error
    return Microphone(wanted, PcmFormat(round(info["default_samplerate"])))


def microphones() -> list[str]:
    """Return a line for each input device: its number, name and sample rate.

    Raises:
        UnreadableAudio: PortAudio is missing.
    """
    return [
        f"{number}: {info['name']} ({info['default_samplerate']:g} Hz)"
        for number, info in enumerate(_sounddevice().query_devices())
        if info["max_input_channels"] > 0
    ]


def _sounddevice() -> Any:
    """Import sounddevice when it is needed: it loads PortAudio, which servers do not have."""
    try:
        import sounddevice  # noqa: PLC0415 - see above
    except OSError as error:
        raise UnreadableAudio(
            f"{error}: install PortAudio to use a microphone (Debian: apt install libportaudio2)"
        ) from error
    return sounddevice
