"""The container's health check: well, ill, silent, gone."""

from __future__ import annotations

import ast
import inspect
import socket
from collections.abc import Iterator

import pytest

from ecs_service import healthcheck
from ecs_service.access.edge import EDGE_HEADER
from ecs_service.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service's end of the connection that the check will open."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *_args, **_kwargs: theirs)
    yield ours
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nYes, I'm ok\n", True),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", False),
        (b"HTTP/1.1 2000 no\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"", False),
    ],
)
def test_the_answer_decides(service: socket.socket, answer: bytes, *, well: bool) -> None:
    service.sendall(answer)
    service.shutdown(socket.SHUT_WR)

    assert healthcheck.is_healthy(8080) is well
    assert service.recv(1024).startswith(b"GET /api/stt/healthcheck HTTP/1.1\r\n")


def test_the_check_proves_itself_where_the_service_asks_for_it(
    service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SECRET", "s" * 48)
    service.shutdown(socket.SHUT_WR)

    healthcheck.is_healthy(8080)

    assert f"\r\n{EDGE_HEADER}: {'s' * 48}\r\n".encode() in service.recv(1024)


def test_a_service_that_is_silent_is_ill(
    service: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = socket.create_connection(("127.0.0.1", 1))
    theirs.settimeout(0.01)
    monkeypatch.setenv("PORT", "8080")

    assert healthcheck.main() == 1
    assert "timed out" in capsys.readouterr().err
    assert service.recv(3) == b"GET"


def test_a_service_that_is_gone_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert healthcheck.main() == 1


def test_without_a_port_it_asks_where_the_service_listens_by_default() -> None:
    assert Settings.model_fields["port"].default == healthcheck.DEFAULT_PORT


def test_it_loads_next_to_nothing() -> None:
    """It runs twice a minute beside the recognition, on a quarter of a processor."""
    tree = ast.parse(inspect.getsource(healthcheck))
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    sources = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert imported == {"os", "socket", "sys"}
    assert sources == {"__future__"}
