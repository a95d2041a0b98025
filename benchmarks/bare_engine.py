"""A transcriber without a server around it: `python -m benchmarks.bare_engine SPEC`.

Prints a line when the model is loaded. Then it reads paths of recordings, a line each, and answers
each with a JSON object: what was said, and the CPU time that the transcriber took, in seconds.

It is as humble as the transcribers of a server, so that neighbours on a busy machine take as much
from one as from the other.
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
