"""Rules against what the model writes for sounds that are no words.

Measured with the model of `moonshine-voice` 0.0.73: without a voice activity detector, silence and
noise become "You", hum becomes a musical note, and music becomes foreign script. Behind the
detector none of them remain; these rules are the second line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: A text with a lower mean probability of its tokens is rejected.
#:
#: Measured over 1,055 words of real English recordings; word error rate, and words rejected:
#:
#:     white noise at     none         20 dB        10 dB        5 dB
#:     no rule            .118  0      .144  0      .296  0      .455  0
#:     0.40               .118  0      .144  0      .291 34      .453 21
#:     0.45               .116  4      .146  8      .292 36      .453 22
#:     0.50               .119 19      .152 32      .293 46      .451 44
#:
#: The differences are within chance. A higher limit rejects more of what is not English: at 0.40,
#: 0.45 and 0.50, 2, 3 and 4 of 7 segments of French, and 4, 7 and 14 of 49 segments of English
#: played backwards. So this rule is a help against other languages, and no protection.
_SURE_ENOUGH: Final = 0.45
#: A repetition has up to so many tokens. It is a loop when it comes so often in a row, and has so
#: many tokens in all. People also say "no, no, no, no, no", and go on; the model does not end.
_LONGEST_REPETITION: Final = 12
_REPEATED: Final = 4
_LOOP_TOKENS: Final = 32


def is_ghost(probabilities: Sequence[float]) -> bool:
    """Return whether a text with these probabilities of its tokens is rejected."""
    return not probabilities or sum(probabilities) / len(probabilities) < _SURE_ENOUGH


def count_loop(tokens: Sequence[int]) -> int:
    """Return how many tokens at the end repeat themselves; 0 if the model does not loop."""
    for length in range(1, _LONGEST_REPETITION + 1):
        repeated = max(_REPEATED, math.ceil(_LOOP_TOKENS / length))
        end = tokens[-length * repeated :]
        if len(end) == length * repeated and end[:-length] == end[length:]:
            return length * (repeated - 1)
    return 0
