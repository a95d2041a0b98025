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
#: Texts that the model makes of noise and music with some confidence. Whoever says nothing else
#: between two pauses is not understood.
_GHOSTS: Final = frozenset({"you"})
#: Tokens a second of ordinary speech, as the model's authors have it.
ORDINARY_RATE: Final = 6.5
#: A repetition has up to so many tokens. Above the ordinary rate it is a loop when it comes three
#: times in a row: nobody says "Please call Stella" five times in two seconds. Below, it comes four
#: times and has 32 tokens in all: people also say "no, no, no, no, no", and go on; the model does
#: not end.
_LONGEST_REPETITION: Final = 12
_REPEATED_FAST: Final = 3
_REPEATED: Final = 4
_LOOP_TOKENS: Final = 32


def is_ghost(text: str, probabilities: Sequence[float]) -> bool:
    """Return whether a text with these probabilities of its tokens is rejected."""
    if not probabilities or text.strip(".?!").casefold() in _GHOSTS:
        return True
    return sum(probabilities) / len(probabilities) < _SURE_ENOUGH


def count_loop(tokens: Sequence[int], seconds: float) -> int:
    """Return how many tokens at the end repeat themselves; 0 if the model does not loop.

    Args:
        tokens: the text so far.
        seconds: of the audio.
    """
    is_fast = len(tokens) > ORDINARY_RATE * seconds
    for length in range(1, _LONGEST_REPETITION + 1):
        slow = max(_REPEATED, math.ceil(_LOOP_TOKENS / length))
        repeated = _REPEATED_FAST if is_fast else slow
        end = tokens[-length * repeated :]
        if len(end) == length * repeated and end[:-length] == end[length:]:
            return length * (repeated - 1)
    return 0
