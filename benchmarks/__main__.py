"""Measures accuracy, latency, CPU and memory, and prints a table for each benchmark.

Tables go to standard output, progress to standard error. Each target below a table reads `kept`, or
`MISSED` and by how much. The exit code does not depend on targets, because a busy machine misses
some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import (
    admission,
    api,
    bad_jobs,
    capacity,
    engines,
    live,
    memory,
    recognition,
    recordings,
    router,
    storing,
    transcribe,
    whisper,
)
from benchmarks.servers import ServerError
from client.errors import ClientError

#: What a benchmark returns: its figures for programs, and its table for people.
Outcome = tuple[Any, str]


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measured(module: Any) -> Callable[..., Outcome]:
    """Return a benchmark that needs nothing but its plan."""

    def run(*, quick: bool) -> Outcome:
        measured = module.run(module.QUICK if quick else module.Plan(), _progress)
        figures = [*map(asdict, measured)] if isinstance(measured, list) else asdict(measured)
        return figures, module.report(measured)

    return run


def _recognition(*, quick: bool, model: Path | None) -> Outcome:
    recordings = recognition.find_recordings()
    if not recordings:
        return None, (
            "Not measured: no recordings with reference texts are here. Set RECORDINGS to a "
            "folder with a manifest.json; tests/support/recordings.py reads it."
        )
    plan = recognition.QUICK if quick else recognition.Plan()
    compared = engines.run(
        sorted(recordings, key=lambda each: each.seconds)[: plan.recordings],
        recognition.WORDLESS,
        _progress,
        model,
    )
    lags = capacity.run(capacity.QUICK if quick else capacity.Plan(), recordings, _progress)
    results = recognition.run(plan, recordings, _progress)
    formats = [
        {
            "recording": recording.path.name,
            "direct": asdict(direct),
            "streamed": [
                {"sampleRate": audio.sample_rate, "channels": audio.channels, **asdict(one)}
                for audio, one in zip(results.formats, streamed, strict=True)
            ],
        }
        for recording, direct, streamed in zip(
            results.recordings, results.direct, results.streamed, strict=True
        )
    ]
    figures = {
        "engines": [asdict(row) for row in compared],
        "capacity": [asdict(each) for each in lags],
        "formats": formats,
    }
    tables = (engines.report(compared), capacity.report(lags), recognition.report(results))
    return figures, "\n\n".join(tables)


def _recordings(*, quick: bool) -> Outcome:
    measured = recordings.run(recordings.QUICK if quick else recordings.Plan(), _progress)
    if measured is None:
        return None, (
            "Not measured: there is no speech. Set RECORDINGS to a folder with a manifest.json, "
            "or install flite."
        )
    return recordings.figures(measured), recordings.report(measured)


def _whisper(*, quick: bool, model: Path | None, minutes: list[float] | None) -> Outcome:
    if model is None or not (model / "model.bin").is_file():
        return None, (
            "Not measured: no model is given. --model names a folder with a real Whisper model in "
            "CTranslate2's format."
        )
    if not recognition.find_recordings():
        return None, "Not measured: no recordings with reference texts are here, see RECORDINGS."
    plan = whisper.QUICK if quick else whisper.Plan(minutes=minutes or whisper.MINUTES)
    measured = whisper.run(plan, model, _progress)
    return [asdict(one) for one in measured], whisper.report(measured)


BENCHMARKS: dict[str, tuple[str, Callable[..., Outcome]]] = {
    "recognition": ("Recognition: word error rate (WER) and real-time factor (RTF)", _recognition),
    "live": ("Live captions: CPU, latency and memory by number of streams", _measured(live)),
    "storing": ("Finals: what keeping and storing one costs", _measured(storing)),
    "admission": ("Tickets: CPU of a socket's admission", _measured(admission)),
    "api": ("Accounts API: cold start, and what a ticket takes", _measured(api)),
    "memory": ("Memory while the engine cannot keep up", _measured(memory)),
    "transcribe": (
        "Amazon Transcribe: CPU, added latency and memory by streams",
        _measured(transcribe),
    ),
    "router": (
        "Router of recordings: cold start, and what it adds to the server's time",
        _measured(router),
    ),
    "recordings": ("Recordings: the server beside the engine alone, and its health", _recordings),
    "bad-jobs": ("Recordings: good jobs' latency, alone and beside bad ones", _measured(bad_jobs)),
    "whisper": ("Long recordings by faster-whisper: memory, WER, when utterances begin", _whisper),
}


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="\n".join(f"{name:<12} {title}" for name, (title, _) in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "benchmark",
        nargs="?",
        default="all",
        choices=(*BENCHMARKS, "all"),
        metavar="NAME",
        help="one of those below [all]",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, no tables")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="a Whisper model, for `whisper` and `recognition`",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        metavar="N",
        help="minutes of speech, for `whisper` [20 60]; 240 take long",
    )
    given = parser.parse_args()
    chosen = list(BENCHMARKS) if given.benchmark == "all" else [given.benchmark]
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    figures: dict[str, Any] = {"machine": machine}
    if not given.json:
        print(f"Machine: {machine}")
    for name in chosen:
        title, run = BENCHMARKS[name]
        takes = {"whisper": ("model", "minutes"), "recognition": ("model",)}.get(name, ())
        options = {option: getattr(given, option) for option in takes}
        try:
            figures[name], text = run(quick=given.quick, **options)
        except (ServerError, ClientError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        if not given.json:
            print(f"\n## {title}\n\n{text}", flush=True)
    if given.json:
        print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    # Or the servers would outlive it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
