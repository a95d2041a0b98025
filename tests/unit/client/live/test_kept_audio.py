from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.live.kept_audio import KeptAudio
from speech.pcm import PcmFormat

pytestmark = pytest.mark.unit

RATE = 100
SECONDS = 0.5
MOST = 50

appends = st.tuples(st.just("append"), st.integers(1, 80))
releases = st.tuples(st.just("release"), st.integers(0, 400))
cuts = st.tuples(st.just("cut"), st.integers(0, 400))
restarts = st.tuples(st.just("again"), st.just(0))


class Model:
    """A list of numbered samples."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, bytes]] = []
        self.next = 0
        self.lost = 0

    def append(self, samples: list[bytes]) -> None:
        for sample in samples:
            self.kept.append((self.next, sample))
            self.next += 1
        self.lost += max(0, len(self.kept) - MOST)
        self.kept = self.kept[-MOST:]

    def release(self, before: int) -> None:
        self.kept = [(at, one) for at, one in self.kept if at >= before]

    def cut(self, after: int) -> None:
        first = self.kept[0][0] if self.kept else self.next
        self.kept = [(at, one) for at, one in self.kept if at < after]
        self.next = min(self.next, max(after, first))

    def again(self) -> None:
        first = self.kept[0][0] if self.kept else self.next
        self.kept = [(at - first, one) for at, one in self.kept]
        self.next -= first


@given(
    channels=st.sampled_from([1, 2]),
    steps=st.lists(st.one_of(appends, releases, cuts, restarts), max_size=40),
)
def test_it_keeps_what_a_list_of_samples_would(channels: int, steps: list[tuple[str, int]]) -> None:
    kept, model = KeptAudio(PcmFormat(RATE, channels), seconds=SECONDS), Model()
    made = 0
    for name, value in steps:
        match name:
            case "append":
                samples = [(made + each).to_bytes(2 * channels, "little") for each in range(value)]
                made += value
                kept.append(b"".join(samples))
                model.append(samples)
            case "release":
                kept.release(value)
                model.release(value)
            case "cut":
                kept.cut_after(value)
                model.cut(value)
            case _:
                kept.begin_again()
                model.again()
        assert (kept.end, kept.lost) == (model.next, model.lost)
        assert kept.read(kept.first, MOST) == b"".join(one for _, one in model.kept)
        assert kept.room == MOST - len(model.kept)
        assert kept.seconds == pytest.approx(len(model.kept) / RATE)
        for at, one in model.kept[::7]:
            assert kept.read(at, 1) == one


def test_what_was_released_cannot_be_read() -> None:
    kept = KeptAudio(PcmFormat(RATE))
    kept.append(bytes(2 * 10))
    kept.release(4)
    with pytest.raises(IndexError):
        kept.read(3, 1)
    assert kept.read(10, 5) == b""
