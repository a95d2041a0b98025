"""Streams recordings into an engine's model, without the service.

    python -m benchmarks.bare_recogniser FACTORY SETTINGS

FACTORY is what the fork server calls, such as `speech.engines.moonshine.recogniser:load`, and
SETTINGS its arguments as JSON. As there, the model is loaded once, and each recording has a forked
process of its own. The program reads paths of recordings, one a line, and answers each with a JSON
object (`Streamed`).

A second of silence follows each recording, as when the microphone stays open: where the audio ends
with the last word, there is nothing to wait for.

The clock is that of an idle core, so that results do not depend on what else the machine does: a
piece of 100 ms is there when it was spoken, or when the core is free, and takes its CPU time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from speech.decode import decode
from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import BlockingModel, ModelSpec
from speech.engines.fork_server import load
from speech.pcm import BYTES_PER_SECOND

PIECE = BYTES_PER_SECOND // 10


@dataclass(slots=True)
class Streamed:
    """The recognition of one recording. Times are seconds, memory is bytes."""

    text: str = ""
    audio: float = 0.0
    cpu: float = 0.0
    #: From the first word of each segment until its first partial.
    first_partials: list[float] = field(default_factory=list)
    #: From the last word of each segment until its final.
    finals: list[float] = field(default_factory=list)
    #: Words that were shown in partials, and how many of them changed later.
    shown: int = 0
    revised: int = 0
    #: Words that were shown as stable, and how many of them the final does not have there.
    stable: int = 0
    wrong_stable: int = 0
    #: Memory of the process that no other one shares.
    memory: int = 0


def stream(model: BlockingModel, pcm: bytes) -> Streamed:
    """Recognise a recording (16 kHz, mono, s16le) piece by piece."""
    recogniser = model.open(RecognitionOptions())
    done = Streamed(audio=len(pcm) / BYTES_PER_SECOND)
    partials: list[tuple[float, Result]] = []  # of the open segment, with their time
    pcm += bytes(BYTES_PER_SECOND)
    pieces: list[bytes | None] = [pcm[at : at + PIECE] for at in range(0, len(pcm), PIECE)]
    now, spoken, texts = 0.0, 0.0, []
    for piece in [*pieces, None]:
        spoken += len(piece or b"") / BYTES_PER_SECOND
        began = time.process_time()
        events = [*(recogniser.finish() if piece is None else recogniser.accept(piece))]
        took = time.process_time() - began
        done.cpu += took
        now = max(now, spoken) + took
        for result in events:
            if not isinstance(result, Result):
                continue
            if not result.is_final:
                partials.append((now, result))
                continue
            if not result.words:  # partials are withdrawn
                done.revised += len(_words(partials[-1][1])) if partials else 0
                partials.clear()
                continue
            texts.append(result.text)
            if partials:
                done.first_partials.append(partials[0][0] - result.words[0].start_time)
            done.finals.append(now - result.words[-1].end_time)
            _count_changes([partial for _, partial in partials], result, done)
            partials.clear()
    done.text = " ".join(texts)
    done.memory = _private_memory()
    return done


def _count_changes(partials: Sequence[Result], final: Result, done: Streamed) -> None:
    """Count the words that a reader saw and that changed."""
    shown: list[str] = []
    stable: set[tuple[int, str]] = set()  # every word that was marked, with its place
    for partial in partials:
        words = _words(partial)
        done.revised += count_edits(shown, words)
        done.shown += max(0, len(words) - len(shown))
        shown = words
        stable.update(enumerate(words[: partial.stable_words or 0]))
    words = _words(final)
    done.revised += count_edits(shown, words)
    done.stable += len(stable)
    done.wrong_stable += len(stable - set(enumerate(words)))


def _words(result: Result) -> list[str]:
    spoken = ("".join(filter(str.isalnum, word)) for word in result.text.casefold().split())
    return [word for word in spoken if word]


def count_edits(shown: Sequence[str], words: Sequence[str]) -> int:
    """Return the fewest words of `shown` to change so that `words` begins with them."""
    row = list(range(len(words) + 1))
    for number, one in enumerate(shown, 1):
        following = [number]
        for at, other in enumerate(words, 1):
            following.append(min(row[at] + 1, following[-1] + 1, row[at - 1] + (one != other)))
        row = following
    return min(row)


def _private_memory() -> int:
    """Return the bytes of this process that no other one shares; 0 where that is not known."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _answers(model: BlockingModel, paths: Iterator[str]) -> Iterator[str]:
    """Yield the answer of a forked process for each path."""
    for path in paths:
        pcm = b"".join(decode(Path(path.rstrip("\n"))))
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            with os.fdopen(writer, "w") as answer:
                json.dump(asdict(stream(model, pcm)), answer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            yield answer.read()
        os.waitpid(pid, 0)


def main() -> None:
    """Answer until standard input ends."""
    model = load(ModelSpec(sys.argv[1], json.loads(sys.argv[2])))
    for answer in _answers(model, iter(sys.stdin)):
        print(answer, flush=True)


if __name__ == "__main__":
    main()
