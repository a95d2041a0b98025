"""The local Amazon Transcribe as a part of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from local_cloud.emulator.environment import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local_cloud.launcher.parts.program import Program, is_open

#: Time between SIGTERM and SIGKILL, seconds.
CLOSE_SECONDS: Final = 8.0


class TranscribePart(Program):
    """The local Amazon Transcribe, with the embedded engine as its recogniser."""

    name = "The local Amazon Transcribe"

    def __init__(
        self, *, log: Path, port: int, calls_port: int, environment: Mapping[str, str]
    ) -> None:
        """Make the part; nothing is started.

        Args:
            log: the file for its output.
            port: of the WebSocket API.
            calls_port: of the calls about vocabularies.
            environment: of a process that uses the emulator, where the vocabularies' files are.
        """
        super().__init__(log=log, grace=CLOSE_SECONDS)
        #: The service's `TRANSCRIBE_ENDPOINT`.
        self.url = f"ws://127.0.0.1:{port}"
        self._port = port
        self._calls_port = calls_port
        self._environment = environment

    async def start(self) -> None:
        """Start the server and wait until it serves.

        Raises:
            PartFailed: it ended, or did not serve in time.
        """
        process = await self._spawn(
            "transcribe_endpoint",
            # Without TLS, for nobody else can listen on the loopback address.
            *("--no-tls", "--port", str(self._port), "--engine", "embedded"),
            *("--http2-port", str(self._calls_port)),
            *("--s3-endpoint", self._environment["AWS_ENDPOINT_URL"]),
            *("--key", f"{ACCESS_KEY_ID}:{SECRET_ACCESS_KEY}"),
            environment=self._environment,
        )
        await self._wait_until(process, lambda: is_open(self._port))
