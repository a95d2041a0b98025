"""A container of an image, held as tightly as the task definition holds it on Fargate.

Not root, without capabilities or a way to new ones; the root is read-only but for the image's
volumes; the program is process 1 of a process namespace of its own and gets its signals itself.
The network is the machine's, so the port has to be a free one. What is run, as whom, where and
with which environment is what the image sets.

Docker does that where it is; otherwise it is done with the programs of util-linux on what
buildah has built.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import psutil

from tests.support.eventually import eventually
from tests.support.image_builds import Buildah, Docker, run
from tests.support.service import START_SECONDS, STOP_SECONDS, RunningService, read_logs

#: Makes the mounts of its own namespace, then becomes the program: ROOT VOLUMES PROGRAM ...
_ENTER = """
set -e
root=$1 volumes=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --options remount,bind,ro "$root"
mount --types proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for volume in $volumes; do
    # As on Fargate: empty, and with the owner and the mode of the image's folder.
    options=$(stat --format 'uid=%u,gid=%g,mode=%a' "$root$volume")
    mount --types tmpfs --options "$options" tmpfs "$root$volume"
done
exec "$@"
"""
#: All that is left to root for becoming the image's user.
_BOUNDS = "-all,+sys_chroot,+setuid,+setgid"


@dataclass(slots=True)
class Container(RunningService):
    """A container that serves."""

    #: The process that passes SIGTERM to the service, or the service itself.
    pid: int = 0
    #: The call that runs a program beside the service, as its user.
    entering: tuple[str, ...] = ()

    async def run(self, *program: str, **environment: str) -> tuple[int, str]:
        """Run a program in the container; return its status and what it printed."""
        changed = [f"{name}={value}" for name, value in environment.items()]
        process = await asyncio.create_subprocess_exec(
            *self.entering,
            "env",
            *changed,
            *program,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode().strip()

    async def terminate(self) -> int:
        """Ask the service to end, as ECS does; return its exit code."""
        if self.process.returncode is None:
            os.kill(self.pid, signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running_container(
    builder: Docker | Buildah, image: str, **settings: object
) -> AsyncIterator[Container]:
    """Run an image with these settings (as in the environment, lower case)."""
    environment = {"PORT": str(_free_port())} | {
        name.upper(): str(value) for name, value in settings.items()
    }
    with (
        _docker(builder, image, environment)
        if isinstance(builder, Docker)
        else _chroot(builder, image, environment) as (call, entering)
    ):
        process = await asyncio.create_subprocess_exec(*call, stderr=asyncio.subprocess.PIPE)
        container = Container(process, url="", pid=process.pid, entering=tuple(entering))
        serving = asyncio.Event()
        reading = asyncio.create_task(read_logs(container, serving))
        try:
            if isinstance(builder, Buildah):
                container.pid = await _service_below(process)
                container.entering = (*_beside(container.pid), *entering)
            async with asyncio.timeout(START_SECONDS):
                await serving.wait()
            assert container.url, f"the service did not start: {container.logs}"
            yield container
        finally:
            await _end(container)
            await reading


async def _end(container: Container) -> None:
    try:
        await container.terminate()
    except (TimeoutError, ProcessLookupError):
        container.process.kill()  # everything below goes with it
        await container.process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _docker(
    docker: Docker, image: str, environment: Mapping[str, str]
) -> Iterator[tuple[list[str], list[str]]]:
    name = f"cloudscribe-test-{uuid.uuid4()}"
    run = [docker.program, "run", "--rm", "--name", name]
    bounds = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    given = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    try:
        yield (
            [*run, "--network", "host", *bounds, *given, image],
            [docker.program, "exec", name],
        )
    finally:
        subprocess.run([docker.program, "rm", "--force", name], capture_output=True, check=False)


@contextlib.contextmanager
def _chroot(
    buildah: Buildah, image: str, environment: Mapping[str, str]
) -> Iterator[tuple[list[str], list[str]]]:
    wanted = buildah.configuration(image)
    given = {**dict(pair.split("=", 1) for pair in wanted["Env"]), **environment}
    name = f"test-{uuid.uuid4()}"
    run(buildah.call("from", "--name", name, image))
    try:
        root = run(buildah.call("mount", name))
        as_user = ["setpriv", "--no-new-privs", f"--bounding-set={_BOUNDS}", "--inh-caps=-all"]
        as_user += ["chroot", f"--userspec={wanted['User']}", "--groups=", root]
        as_user += ["env", "--ignore-environment", f"--chdir={wanted['WorkingDir']}"]
        as_user += [f"{key}={value}" for key, value in given.items()]
        namespace = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        enter = ["sh", "-c", _ENTER, "enter", root, " ".join(wanted["Volumes"])]
        yield [*namespace, *enter, *as_user, *wanted["Entrypoint"]], as_user
    finally:
        run(buildah.call("rm", name))


async def _service_below(unshare: asyncio.subprocess.Process) -> int:
    """Return the process that is number 1 in the namespace that `unshare` has made."""
    found = await eventually(
        lambda: psutil.Process(unshare.pid).children(), "the container has a process"
    )
    return found[0].pid


def _beside(pid: int) -> list[str]:
    """Return the call that enters the namespaces of a process."""
    return ["nsenter", f"--target={pid}", "--mount", "--pid"]
