from __future__ import annotations

import socket
from itertools import takewhile
from typing import cast

import pytest

from speech.engines.blocking import frame_message
from speech.engines.fork_server import MessageReader
from speech.pcm import BYTES_PER_SECOND

pytestmark = pytest.mark.unit


class FakeSocket:
    """A socket on which `data` waits; a read takes at most `most` bytes, as after a signal."""

    def __init__(self, data: bytes, most: int = 1_000_000) -> None:
        self.data = data
        self.most = most

    def recv(self, count: int, flags: int = 0) -> bytes:
        if not self.data and flags & socket.MSG_DONTWAIT:
            raise BlockingIOError
        piece = self.data[: min(count, self.most)]
        if not flags & socket.MSG_PEEK:
            self.data = self.data[len(piece) :]
        return piece


def reader(*messages: bytes, most: int = 1_000_000) -> MessageReader:
    waiting = FakeSocket(b"".join(map(frame_message, messages)), most)
    return MessageReader(cast("socket.socket", waiting))


def test_a_message_that_comes_in_pieces_is_whole() -> None:
    # Linux returns what it has when a stopped process continues.
    assert reader(b"abcdefgh", most=3).read_audio() == b"abcdefgh"


def test_an_end_in_the_middle_of_a_message_is_an_error() -> None:
    broken = MessageReader(cast("socket.socket", FakeSocket(frame_message(b"abcdefgh")[:-1])))

    with pytest.raises(EOFError):
        broken.read_audio()


def test_audio_that_waits_comes_together_and_the_end_by_itself() -> None:
    waiting = reader(b"ab", b"cd", b"")

    assert [waiting.read_audio(), waiting.read_audio()] == [b"abcd", b""]


def test_a_second_of_audio_comes_together_at_most() -> None:
    waiting = reader(*[bytes(BYTES_PER_SECOND // 4)] * 6, b"")

    read = [len(audio) for audio in takewhile(len, iter(waiting.read_audio, None))]

    assert [length / BYTES_PER_SECOND for length in read] == [1, 0.5]
