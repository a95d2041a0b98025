"""Compares the engines that this machine can run: accuracy, delays, CPU time and memory.

Streamed rows send the recordings in pieces of 100 ms, on the clock of an idle core
(`benchmarks.bare_recogniser`). The other rows transcribe whole recordings, as the server for
recordings does. Texts are compared after Whisper's normalisation: case, punctuation, digits and
contractions do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare_engine import SPEC
from benchmarks.bare_recogniser import Streamed
from benchmarks.figures import format_target, quantile, table
from benchmarks.servers import ROOT, ServerError
from speech.engines.moonshine.files import is_installed
from speech.transcribers.choice import TranscriberSpec
from tests.support.recordings import Recording, normalised, word_error_rate

#: The targets of the default engine: seconds, and CPU seconds per second of audio.
WORD_ERROR_RATE = 0.10
CPU = 0.16
FIRST_PARTIAL_P50 = 0.5
FINAL_P95 = 0.75
DEFAULT = "moonshine"

STREAMING = {
    "moonshine": "speech.engines.moonshine.recogniser:load",
    "pocketsphinx": "speech.engines.pocketsphinx_model:load",
}
#: A partial interval that never passes.
_NEVER = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one engine. Times are seconds, memory is bytes."""

    engine: str
    words: int
    word_error_rate: float
    #: CPU seconds per second of audio.
    cpu: float
    #: Words in recordings without any.
    invented: int
    #: Delays, and what readers saw change; empty for what does not stream.
    cpu_of_finals: float | None = None
    first_partials: tuple[float, ...] = ()
    finals: tuple[float, ...] = ()
    shown: int = 0
    revised: int = 0
    stable: int = 0
    wrong_stable: int = 0
    memory: int = 0


def run(
    recordings: Sequence[Recording],
    wordless: frozenset[str],
    progress: Callable[[str], None],
    whisper: Path | None = None,
) -> list[Row]:
    """Measure every engine that is installed, and a Whisper model in a folder.

    Raises:
        ServerError: an engine's process died.
    """
    chosen = [each for each in recordings if each.text or each.path.name in wordless]
    rows = []
    for name, factory in STREAMING.items():
        if name != "moonshine" or is_installed():
            progress(f"engines: {name}, streamed")
            rows.append(_streamed(name, factory, chosen))
    specs = {f"recordings: {DEFAULT if is_installed() else 'pocketsphinx'}": TranscriberSpec()}
    if whisper is not None:
        spec = TranscriberSpec(kind="faster-whisper", model=str(whisper), device="cpu")
        specs[f"recordings: faster-whisper, {whisper.name}"] = spec
    for name, spec in specs.items():
        progress(f"engines: {name}")
        rows.append(_whole(name, spec, chosen))
    return rows


def _streamed(name: str, factory: str, recordings: Sequence[Recording]) -> Row:
    done = [
        Streamed(**answer)
        for answer in _answers(("benchmarks.bare_recogniser", factory, "{}"), recordings)
    ]
    settings = json.dumps({"partial_interval": _NEVER})
    silent = _answers(("benchmarks.bare_recogniser", factory, settings), recordings)
    audio = sum(each.audio for each in done)
    return Row(
        engine=name,
        **_accuracy(recordings, [each.text for each in done]),
        cpu=sum(each.cpu for each in done) / audio,
        cpu_of_finals=sum(answer["cpu"] for answer in silent) / audio,
        first_partials=tuple(time for each in done for time in each.first_partials),
        finals=tuple(time for each in done for time in each.finals),
        shown=sum(each.shown for each in done),
        revised=sum(each.revised for each in done),
        stable=sum(each.stable for each in done),
        wrong_stable=sum(each.wrong_stable for each in done),
        memory=max(each.memory for each in done),
    )


def _whole(name: str, spec: TranscriberSpec, recordings: Sequence[Recording]) -> Row:
    command = ("benchmarks.bare_engine", SPEC.dump_json(spec).decode())
    answers = list(_answers(command, recordings, skip=1))
    return Row(
        engine=name,
        **_accuracy(recordings, [answer["text"] for answer in answers]),
        cpu=sum(answer["cpu"] for answer in answers)
        / sum(answer["duration"] for answer in answers),
    )


def _accuracy(recordings: Sequence[Recording], texts: Sequence[str]) -> dict[str, Any]:
    pairs = [
        (recording.text, text)
        for recording, text in zip(recordings, texts, strict=True)
        if recording.text
    ]
    quiet = [text for recording, text in zip(recordings, texts, strict=True) if not recording.text]
    return {
        "words": sum(len(normalised(text).split()) for text, _ in pairs),
        "word_error_rate": word_error_rate(pairs),
        "invented": sum(len(text.split()) for text in quiet),
    }


def _answers(
    command: Sequence[str], recordings: Sequence[Recording], skip: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the answer of a program for each recording, after `skip` lines.

    Raises:
        ServerError: it died.
    """
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(skip):
            process.stdout.readline()
        for recording in recordings:
            try:
                process.stdin.write(f"{recording.path}\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                raise ServerError(f"{command[0]} died over {recording.path.name}")
            yield json.loads(line)
        process.stdin.close()


def report(rows: Sequence[Row]) -> str:
    """Return the table, and the targets of the default engine."""
    heads = (
        *("engine", "words", "WER", "invented", "CPU", "CPU, finals only", "streams / core"),
        *("first partial p50 s", "p95", "final p50 s", "p95"),
        *("revised / shown", "wrong / stable", "MiB a worker"),
    )
    lines = [
        (
            row.engine,
            row.words,
            f"{row.word_error_rate:.3f}",
            row.invented,
            f"{row.cpu:.3f}",
            *(
                (
                    f"{row.cpu_of_finals:.3f}",
                    f"{1 / row.cpu:.1f}",
                    *(
                        f"{quantile(times, share):.2f}"
                        for times in (row.first_partials, row.finals)
                        for share in (0.5, 0.95)
                    ),
                    f"{row.revised} / {row.shown}",
                    f"{row.wrong_stable} / {row.stable}",
                    f"{row.memory / 2**20:.0f}",
                )
                if row.cpu_of_finals is not None
                else ("-",) * 9
            ),
        )
        for row in rows
    ]
    targets = [line for row in rows if row.engine == DEFAULT for line in _targets(row)]
    return "\n".join([table(heads, lines), "", *targets])


def _targets(row: Row) -> Iterator[str]:
    first, last = quantile(row.first_partials, 0.5), quantile(row.finals, 0.95)
    for name, value, limit in (
        ("word error rate", row.word_error_rate, WORD_ERROR_RATE),
        ("CPU seconds per second of audio", row.cpu, CPU),
        ("first partial p50, s", first, FIRST_PARTIAL_P50),
        ("final p95, s", last, FINAL_P95),
        ("words in noise", row.invented, 0),
    ):
        text = f"{row.engine}, {name}: {value:.3g}, at most {limit:g}"
        yield format_target(text, is_kept=value <= limit)
