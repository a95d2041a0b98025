"""`python -m ecs_service.healthcheck`: exit with 0 if the service in this container responds.

The container's health check. It checks that the process lives, not that it has a free slot. It runs
beside the recognition on a fraction of a processor, so it imports little more than `socket`.
"""

from __future__ import annotations

import os
import socket
import sys

#: Less than the health check's own timeout, so that the reason is printed here.
TIMEOUT_SECONDS = 5.0
DEFAULT_PORT = 8081


def _request() -> bytes:
    """Return the request, with the edge's secret if the service requires it."""
    secret = os.environ.get("EDGE_SECRET")
    edge = f"X-Cloudscribe-Edge: {secret}\r\n" if secret else ""
    return (
        f"GET /api/stt/healthcheck HTTP/1.1\r\nHost: localhost\r\n{edge}Connection: close\r\n\r\n"
    ).encode()


def is_healthy(port: int) -> bool:
    """Return whether the service at `port` of this machine responds with 200.

    Raises:
        OSError: the connection failed, or there was no response in time.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(_request())
        answer = b""
        # The status line may come in pieces, and is short.
        while b"\r\n" not in answer and len(answer) < 1024:  # noqa: PLR2004 - far beyond any status
            received = connection.recv(1024)
            if not received:
                break
            answer += received
    return answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))


def main() -> int:
    """Check the service at `PORT`; return the exit code."""
    try:
        healthy = is_healthy(int(os.environ.get("PORT") or DEFAULT_PORT))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - shown with the container's health
        return 1
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
