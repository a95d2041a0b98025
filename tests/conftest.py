"""Unit tests open no socket."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _sockets(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("unit"):
        disable_socket(allow_unix_socket=True)  # an event loop needs a pair for itself
    else:
        enable_socket()
