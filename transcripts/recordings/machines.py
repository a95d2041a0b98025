"""The assumed speed of machines with a GPU, and how long they are kept warm.

**The speed is not measured.** faster-whisper's authors publish 54 s for 13 minutes with large-v2 on
a V100 (14 times as fast as speech, one stretch at a time, beam 5). The machines chosen here have
less memory bandwidth than that, and large-v3-turbo, the default, less to compute. Ten is meant to
be too low: then a recording is queued that could have been awaited, and an estimate of costs is too
high. If the speed is too high, the router waits in vain, and the estimated price is too low.
Measure your machines with your recordings, and set `gpu.speed`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

#: Seconds of audio that a machine transcribes in a second.
ASSUMED_SPEED: Final = 10.0
#: The longest time for which one order keeps a machine without work: a wrong year would cost much.
LONGEST_WARMTH: Final = timedelta(days=1)
