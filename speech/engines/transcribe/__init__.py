"""Amazon Transcribe streaming as an engine.

`engine.py` opens sessions, and `session.py` is one session. A session sends and receives through a
`Link` (`link.py`), which `websocket.py` implements. The other modules are pure: `options.py` (what
a stream asks for), `operators.py` (what an operator sets), `endpoints.py` and `presign.py` (the
URL), `wire.py` (the messages on the WebSocket), `results.py` (Transcribe's results to ours),
`timeline.py` (Transcribe's time to ours, and which audio is settled), `pace.py` (when streams
begin).
"""

from speech.engines.transcribe.engine import TranscribeEngine
from speech.engines.transcribe.options import AllowedOptions

__all__ = ["AllowedOptions", "TranscribeEngine"]
