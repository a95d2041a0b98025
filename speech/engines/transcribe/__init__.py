"""Amazon Transcribe streaming as an engine.

`engine.py` opens sessions; `session.py` is one of them, whatever the wire. `link.py` is what it
sees of the wire, and there are two: `websocket.py`, and `http2.py` with `crt.py` below it. What is
pure lies beside: `options.py` (what a stream asks for), `operators.py` (what an operator sets of
it), `endpoints.py` and `presign.py` (the URL), `wire.py` (the messages of a WebSocket),
`results.py` (Transcribe's results to ours), `timeline.py` (Transcribe's time to ours, and what
audio is settled), `pace.py` (when streams begin).
"""

from speech.engines.transcribe.engine import TranscribeEngine
from speech.engines.transcribe.options import AllowedOptions

__all__ = ["AllowedOptions", "TranscribeEngine"]
