from __future__ import annotations

import pytest

from speech.decoding.tracks import TrackContent, choose

pytestmark = pytest.mark.unit


def track(
    number: int, *, default: bool = False, is_decodable: bool = True, sound: bool = True
) -> TrackContent:
    return TrackContent(
        number, is_default=default, is_decodable=is_decodable, has_sound=is_decodable and sound
    )


@pytest.mark.parametrize(
    ("tracks", "chosen"),
    [
        ([track(1), track(2)], 1),
        ([track(1), track(2, default=True)], 2),
        ([track(1, sound=False), track(2)], 2),
        ([track(1, default=True, sound=False), track(2), track(3)], 2),
        ([track(1, default=True, is_decodable=False), track(2, sound=False)], 2),
        ([track(1, sound=False), track(2, default=True, sound=False)], 2),
        ([track(1, is_decodable=False), track(2, is_decodable=False)], 1),
    ],
)
def test_the_default_track_with_sound_is_taken_else_the_first_with_any(
    tracks: list[TrackContent], chosen: int
) -> None:
    assert choose(tracks) == chosen
