"""Settings of all tests: no socket for unit tests, no deadline for examples, what runs together."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

# A slow machine is no failure. On a new one the first text that hypothesis draws takes seconds,
# for which it makes a table of Unicode.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell ignores Ctrl-C for what it starts in the background, and every process that the tests
# start would inherit it; some of them are to be ended by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The environment's Node comes before the machine's, as `make` has it.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(autouse=True)
def _sockets(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("unit"):
        disable_socket(allow_unix_socket=True)  # an event loop needs a pair for itself
    else:
        enable_socket()


@pytest.hookimpl(optionalhook=True)  # whisperx.yml installs no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    from tests.support.by_module import ByModule  # noqa: PLC0415 - see above

    return ByModule(config, log)
