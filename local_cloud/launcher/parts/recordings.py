"""The server for recordings as a part of the demo."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gpu_server.settings import USER_CHOICES, Settings
from local_cloud.launcher.parts.program import Program, is_healthy
from local_cloud.stacks.deployment import StackOutputs

#: Time for the server to finish a recording before it returns the job, seconds.
FINISH_SECONDS: Final = 3.0
#: How long one receive call on the queue waits, seconds. The server cannot end within one.
RECEIVE_SECONDS: Final = 2
#: Further time before the server is killed, seconds.
CLOSE_SECONDS: Final = 8.0
#: After how long a job of a server that was killed becomes visible again, seconds.
VISIBILITY_SECONDS: Final = 15
#: Seconds of speech that the embedded engine transcribes in one; on two shared cores it did 4.5.
EMBEDDED_SPEED: Final = 4.0


class RecordingsPart(Program):
    """The server for recordings, which also works through the queue of jobs.

    It counts as started when it listens. The model is loaded after that, and until then recordings
    are queued, as they are while the server is away.
    """

    name = "The transcriber"

    def __init__(
        self,
        *,
        log: Path,
        work: Path,
        port: int,
        token: str,
        module: str = "gpu_server",
        visibility_seconds: int = VISIBILITY_SECONDS,
    ) -> None:
        """Make the part; nothing is started, and `configure` comes first.

        Args:
            log: the file for its output.
            work: the folder for recordings in work; it is emptied at each start.
            port: where it listens.
            token: the secret that its callers send.
            module: what is run; tests have their own.
            visibility_seconds: of jobs in the queue.
        """
        super().__init__(log=log, grace=FINISH_SECONDS + RECEIVE_SECONDS + CLOSE_SECONDS)
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._token = token
        self._work = work
        self._module = module
        self._visibility_seconds = visibility_seconds
        #: All of its environment, once it is configured.
        self.environment: dict[str, str] = {}

    @property
    def functions(self) -> dict[str, str]:
        """The environment variables with which functions reach the server."""
        return {
            "AUTH_TOKEN": self._token,
            "GPU_URL": self.url,
            "SERVER_SPEED": f"{EMBEDDED_SPEED:g}",
        }

    def configure(self, environment: Mapping[str, str], resources: StackOutputs) -> None:
        """Set the server's environment, which is known once the emulator runs.

        Of the server's settings in `environment` only `USER_CHOICES` are passed on: the others are
        the demo's, or have the name of another program's, such as `SLOTS`.
        """
        ours = {name.upper() for name in Settings.model_fields} - USER_CHOICES
        self.environment = {n: value for n, value in environment.items() if n not in ours} | {
            "AUTH_TOKEN": self._token,
            "HOST": "127.0.0.1",
            "POLL_SECONDS": str(RECEIVE_SECONDS),
            "PORT": str(self._port),
            "QUEUE_URL": resources.jobs_queue_url,
            "RECORDINGS_BUCKET": resources.recordings_bucket,
            "STOP_SECONDS": f"{FINISH_SECONDS:g}",
            "VISIBILITY_SECONDS": str(self._visibility_seconds),
            "WORK_DIR": str(self._work),
        }

    async def start(self) -> None:
        """Start the server and wait until it listens.

        Raises:
            PartFailed: it ended, or did not listen in time.
        """
        await self.stop()
        shutil.rmtree(self._work, ignore_errors=True)  # what a kill has left behind
        self._work.mkdir(parents=True)
        process = await self._spawn(self._module, environment=self.environment)
        health = f"{self.url}/health"
        await self._wait_until(process, lambda: is_healthy(health, unavailable_is_enough=True))
