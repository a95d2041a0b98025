"""`python -m tests.support.scripted_server`: the server for recordings, but for its transcriber.

Everything of `python -m gpu_server` is real; its recordings are read by `scripted_transcriber`.
Jobs that failed are tried again after `FIRST_RETRY` seconds (0), and not after minutes.
"""

from __future__ import annotations

import functools
import os
import sys

from gpu_server import app
from gpu_server.__main__ import main
from gpu_server.work import worker
from tests.support.scripted_transcriber import MODULE

if __name__ == "__main__":
    worker.FIRST_RETRY = int(os.environ.get("FIRST_RETRY", "0"))  # type: ignore[misc]  # a constant, but for tests
    app.assemble = functools.partial(app.assemble, child=MODULE)
    sys.exit(main())
