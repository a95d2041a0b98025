"""The WebSocket service as a part of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from local_cloud.edge.server import VIEWER_HEADER
from local_cloud.launcher.parts.program import Program, is_healthy

#: Time for the service to end streams and to send finals to the queue, seconds.
DRAIN_SECONDS: Final = 10.0
#: Further time to close connections and the engine before it is killed, seconds.
CLOSE_SECONDS: Final = 8.0


def service_environment(
    environment: Mapping[str, str], port: int, access_table: str | None = None
) -> dict[str, str]:
    """Return the whole environment of a service that listens on a port of this machine.

    Without a table of rights everybody may do everything, whatever the user's shell says.
    """
    return {
        **environment,
        "ACCESS_TABLE": access_table or "",
        "DRAIN_SECONDS": environment.get("DRAIN_SECONDS") or f"{DRAIN_SECONDS:g}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "VIEWER_ADDRESS_HEADER": VIEWER_HEADER,
        "EDGE_SECRET": "",  # the local edge sends none
    }


class ServicePart(Program):
    """The WebSocket service; it differs from that in AWS by its settings alone."""

    name = "The service"

    def __init__(
        self,
        *,
        log: Path,
        port: int,
        environment: Mapping[str, str],
        access_table: str | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = service_environment(environment, port, access_table)
        drain_seconds = float(self._environment["DRAIN_SECONDS"])
        super().__init__(log=log, grace=drain_seconds + CLOSE_SECONDS)

    async def start(self) -> None:
        """Start the service and wait until it accepts streams.

        Raises:
            PartFailed: it ended, or was not ready in time.
        """
        process = await self._spawn("ecs_service", environment=self._environment)
        await self._wait_until(process, lambda: is_healthy(f"{self.url}/api/stt/ready"))
