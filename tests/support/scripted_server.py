"""`python -m tests.support.scripted_server`: the server for recordings, but for its transcriber.

Everything of `python -m gpu_server` is real; its recordings are read by `scripted_transcriber`.
"""

from __future__ import annotations

import functools
import sys

from gpu_server import app
from gpu_server.__main__ import main
from tests.support.scripted_transcriber import MODULE

if __name__ == "__main__":
    app.assembled = functools.partial(app.assembled, child=MODULE)
    sys.exit(main())
