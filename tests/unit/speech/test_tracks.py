from __future__ import annotations

import pytest

from speech.decoding.tracks import Found, choose

pytestmark = pytest.mark.unit


def track(number: int, *, default: bool = False, decodes: bool = True, sound: bool = True) -> Found:
    return Found(number, is_default=default, decodes=decodes, has_sound=decodes and sound)


@pytest.mark.parametrize(
    ("tracks", "chosen"),
    [
        ([track(1), track(2)], 1),
        ([track(1), track(2, default=True)], 2),
        ([track(1, sound=False), track(2)], 2),
        ([track(1, default=True, sound=False), track(2), track(3)], 2),
        ([track(1, default=True, decodes=False), track(2, sound=False)], 2),
        ([track(1, sound=False), track(2, default=True, sound=False)], 2),
        ([track(1, decodes=False), track(2, decodes=False)], 1),
    ],
)
def test_the_default_track_with_sound_is_taken_else_the_first_with_any(
    tracks: list[Found], chosen: int
) -> None:
    assert choose(tracks) == chosen
