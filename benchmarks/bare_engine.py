"""Runs a transcriber without a server: `python -m benchmarks.bare_engine SPEC`.

It prints a line when the model is loaded. Then it reads paths of recordings, one a line, and
answers each with a JSON object: the text, and the transcriber's CPU time in seconds.

It has the same low priority as a server's transcribers, so that other processes of a busy machine
slow both down alike.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from speech.transcribers.base import TranscriptionOptions
from speech.transcribers.choice import TranscriberSpec, create_transcriber
from speech.transcribers.process import TranscriberProcess

SPEC: TypeAdapter[TranscriberSpec] = TypeAdapter(TranscriberSpec)


def main() -> None:
    """Transcribe until standard input ends."""
    os.nice(inspect.signature(TranscriberProcess).parameters["niceness"].default)
    made = create_transcriber(SPEC.validate_json(sys.argv[1]))
    made.load()
    print(made.engine, flush=True)
    options = TranscriptionOptions()
    for line in sys.stdin:
        cpu = time.process_time()
        done = made.transcribe(Path(line.rstrip("\n")), options, lambda _done: None)
        cpu = time.process_time() - cpu
        print(json.dumps({"text": done.text, "duration": done.duration, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
