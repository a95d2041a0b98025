"""Amazon Transcribe streaming as an engine.

`engine.py` opens sessions; `session.py` is one of them, without its socket, which is
`websocket.py`. What is pure lies beside: `options.py` (what a stream asks for), `presign.py` (the
URL), `wire.py` (bytes to events and back), `results.py` (Transcribe's results to ours),
`timeline.py` (Transcribe's time to ours, and what audio is settled).
"""

from speech.engines.transcribe.engine import TranscribeEngine
from speech.engines.transcribe.options import AllowedOptions

__all__ = ["AllowedOptions", "TranscribeEngine"]
