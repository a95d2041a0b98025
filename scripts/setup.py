"""Sets up what is missing: `python3 -m scripts.setup [demo | test | build | ...]`.

Only the standard library is used, for nothing is installed yet. Every step has a stamp over
what it is made from (see `scripts.stamps`), so a second run finds nothing to do and takes a
fraction of a second. Python and Node are set up at the same time. Packages are installed by
uv, which pip fetches first: on two cores 7 seconds instead of pip's 27. Where uv cannot reach
the registry pip takes over, for it knows addresses of `pip.conf` that uv does not read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from scripts import bundle, lock, stamps
from scripts.checks import (
    GIB,
    SetupError,
    check_disk,
    check_environment,
    check_node,
    explain,
    unwritable,
)
from scripts.terminal import say

ROOT = Path(__file__).resolve().parent.parent
MB = 1000**2
#: Measured in a new clone with a new home.
FIRST_TIME = (
    "On two free cores and a fast network it took 15 s, and the demo's first deployment 25 s."
)
#: How often a step that takes long says where it is, in seconds.
HEARTBEAT = 10.0
#: How much of a failed tool's output is shown, in lines.
TAIL = 15
#: Programs that tests use, each of the Debian package of the same name, and what is skipped
#: without it.
TEST_PROGRAMS = {
    "chromium": "the browser tests",
    "flite": "tests that speak",
    "buildah": "the tests of the container image",
    "debootstrap": "the tests of the container image",
}
#: Not needed where Docker builds the image.
WITHOUT_DOCKER = ("buildah", "debootstrap")


#: What tools send to steer a terminal, such as colours.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: A line of Node's stack traces, which say nothing to the user; the log has them.
_STACK_FRAME = re.compile(r"(?:npm error)?\s+at .*:\d+")


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which tools print without colours."""
    kept = {name: value for name, value in environment.items() if name != "FORCE_COLOR"}
    return kept | {"NO_COLOR": "1"}


class Tools:
    """The programs that set-up runs: output goes to a log each, and all can be ended at once."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self.ended = False  # set when no other program is to be started

    def run(self, log: str, argv: list[str], *, cwd: Path = ROOT) -> None:
        """Run a program to its end; its output is added to the log of the given name.

        Raises:
            SetupError: it failed; the text has the last lines that it printed.
        """
        path = self.log(log)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as out:
            out.write(f"$ {' '.join(argv)}\n".encode())
            out.flush()
            with self._guard:
                if self.ended:
                    raise SetupError("Interrupted.")
                try:
                    process = subprocess.Popen(  # noqa: S603 - fixed calls of build tools
                        argv,
                        cwd=cwd,
                        env=_plain(os.environ),
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                    )
                except OSError as error:
                    raise SetupError(f"{argv[0]} does not start: {error.strerror}") from error
                self._running.add(process)
            status = process.wait()
        with self._guard:
            self._running.discard(process)
        if status:
            output = _CONTROL.sub("", path.read_text(errors="backslashreplace"))
            output = output[output.rfind("\n$ ") + 1 :]
            lines = [line for line in output.splitlines() if not _STACK_FRAME.match(line)]
            shown = "\n".join(f"    {line}" for line in lines[-TAIL:])
            hint = explain(output) or f"Everything it printed: {path}"
            raise SetupError(f"{Path(argv[0]).name} failed with status {status}:\n{shown}\n{hint}")

    def log(self, name: str) -> Path:
        """Return where the log of the given name lies."""
        return self._logs / f"setup-{name}.log"

    def last_line(self, name: str) -> str:
        """Return the last line that tools have printed to a log; `""` before the first."""
        with contextlib.suppress(OSError), self.log(name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = _CONTROL.sub("", file.read().decode(errors="backslashreplace"))
            lines = text.replace("\r", "\n").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def end(self) -> None:
        """End every program that runs, and start no other."""
        with self._guard:
            self.ended = True
            for process in self._running:
                process.terminate()


@dataclass(frozen=True)
class Step:
    """Something to set up: done when its stamp holds the fingerprint of its inputs."""

    name: str
    title: str
    stamp: Path
    inputs: Callable[[], str]
    outputs: tuple[Path, ...]
    run: Callable[[Tools], None]
    #: What it takes, caches included, MB.
    disk: int = 0

    def current(self) -> bool:
        """Tell whether there is nothing to do."""
        return stamps.is_current(self.stamp, self.inputs(), self.outputs)

    def perform(self, tools: Tools) -> None:
        """Do it, and write the stamp last.

        Raises:
            SetupError: it did not work out.
        """
        tools.log(self.name).unlink(missing_ok=True)
        self.stamp.unlink(missing_ok=True)
        value = self.inputs()
        self.run(tools)
        stamps.write(self.stamp, value)


# --- Python ------------------------------------------------------------------------------


VENV = ROOT / ".venv"
UV = VENV / "bin" / "uv"
EMULATOR_VENV = ROOT / ".venv-emulator"


def python_in(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def _make_environment(tools: Tools, log: str, folder: Path, *options: str) -> None:
    """Make an environment unless there is one that works."""
    config = folder / "pyvenv.cfg"
    if config.exists() and python_in(folder).exists():
        check_environment(config.read_text(), folder)
        if folder != VENV or UV.exists() or _has_pip(folder):
            return  # or else its making was interrupted
    tools.run(log, [sys.executable, "-m", "venv", "--clear", *options, str(folder)])


def _has_pip(folder: Path) -> bool:
    call = [str(python_in(folder)), "-m", "pip", "--version"]
    return not subprocess.run(call, capture_output=True, check=False).returncode  # noqa: S603 - the environment's own interpreter


def _get_uv(tools: Tools, log: str) -> None:
    """Install the locked uv into the main environment unless it is there."""
    if UV.exists():
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(lock.block((ROOT / "requirements-dev.txt").read_text(), "uv"))
        wanted.flush()
        pip = [str(python_in(VENV)), "-m", "pip", "install", "--disable-pip-version-check"]
        tools.run(log, [*pip, "--require-hashes", "--requirement", wanted.name])


def _install(tools: Tools, log: str, folder: Path, *files: Path) -> None:
    """Install locked requirements, by uv or else by pip."""
    requirements = [word for file in files for word in ("--requirement", str(file))]
    python = str(python_in(folder))
    # Nothing is compiled ahead: that takes 35 s of CPU, and Python does it for what is used.
    uv = [str(UV), "pip", "install", "--python", python]
    try:
        tools.run(log, [*uv, "--require-hashes", *requirements])
    except SetupError:
        if tools.ended:
            raise
        say(f"{log}: uv could not install, trying pip, which is slower ...")
        pip = [str(python_in(VENV)), "-m", "pip", "--python", python, "install"]
        tools.run(log, [*pip, "--disable-pip-version-check", "--require-hashes", *requirements])


def _python_step(name: str, title: str, folder: Path, *requirements: str, disk: int) -> Step:
    files = tuple(ROOT / name for name in requirements)

    def inputs() -> str:
        # An environment is bound to its place and to its interpreter.
        return stamps.fingerprint(ROOT, files, str(ROOT), _interpreter(folder))

    def run(tools: Tools) -> None:
        _make_environment(tools, name, VENV)
        _get_uv(tools, name)
        if folder != VENV:
            _make_environment(tools, name, folder, "--without-pip")
        _install(tools, name, folder, *files)

    stamp = folder / f".set-up-{name}"
    return Step(name, title, stamp, inputs, (python_in(folder),), run, disk)


def _interpreter(folder: Path) -> str:
    """Return which interpreter an environment has, or would get."""
    python = python_in(folder)
    return str(python.resolve()) if python.exists() else str(Path(sys.executable).resolve())


# --- the page -----------------------------------------------------------------------------


FRONTEND = ROOT / "frontend"
DIST = FRONTEND / "dist"
_NOT_SOURCES = ("node_modules", "dist", "coverage", ".vite", "README.md")


def _check_node() -> None:
    """Check that the page can be built here.

    Raises:
        SetupError: Node or npm is missing or too old.
    """
    node = shutil.which("node")
    output = None
    if node:
        output = subprocess.run(  # noqa: S603 - asks the machine's node for its version
            [node, "--version"], capture_output=True, text=True, check=False
        ).stdout
    check_node(output)
    if not shutil.which("npm"):
        raise SetupError("npm was not found, though Node is there. On Debian: apt-get install npm")


def _npm_step(name: str, title: str, folder: Path, output: str, *, disk: int) -> Step:
    """Return the step that installs a folder's locked packages; `output` is one of them."""

    def inputs() -> str:
        return stamps.fingerprint(ROOT, [folder / "package-lock.json", folder / ".npmrc"])

    def run(tools: Tools) -> None:
        _check_node()
        options = ["--no-audit", "--no-fund", "--no-progress"]
        tools.run(name, [shutil.which("npm") or "npm", "ci", *options], cwd=folder)

    modules = folder / "node_modules"
    return Step(name, title, modules / f".set-up-{name}", inputs, (modules / output,), run, disk)


def _build_page(tools: Tools) -> None:
    _check_node()
    tools.run("page", [shutil.which("npm") or "npm", "run", "build"], cwd=FRONTEND)


def _page_inputs() -> str:
    files = stamps.sources(FRONTEND, without=_NOT_SOURCES)
    return stamps.fingerprint(ROOT, [f for f in files if f.suffix != ".tsbuildinfo"])


# --- what is deployed -------------------------------------------------------------------------


def _function_inputs() -> str:
    files = [path for name in bundle.names() for path in bundle.sources(ROOT, name)]
    return stamps.fingerprint(ROOT, [*files, ROOT / "scripts" / "bundle.py"])


def _bundle_functions(tools: Tools) -> None:
    tools.run("functions", [sys.executable, "-m", "scripts.bundle", "functions"])


def _layer_inputs() -> str:
    made_by = [ROOT / "scripts" / name for name in ("bundle.py", "botocore_data.py")]
    return stamps.fingerprint(ROOT, [bundle.REQUIREMENTS, *made_by])


def _bundle_layer(tools: Tools) -> None:
    # By the environment's interpreter, beside which lies uv.
    tools.run("layer", [str(python_in(VENV)), "-m", "scripts.bundle", "layer"])


# --- what there is to set up ----------------------------------------------------------------


# What each takes was measured in a new clone with a new home.
RUNTIME = _python_step("python", "Python packages", VENV, "requirements.txt", disk=740)
DEVELOPMENT = _python_step(
    "python-dev",
    "Python packages for tests",
    VENV,
    "requirements.txt",
    "requirements-dev.txt",
    disk=200,
)
EMULATOR = _python_step(
    "emulator", "AWS emulator", EMULATOR_VENV, "local_cloud/emulator-requirements.txt", disk=65
)
NPM = _npm_step("npm", "packages of the web page", FRONTEND, "vite", disk=310)
PAGE = Step(
    "page",
    "web page",
    FRONTEND / "node_modules" / ".set-up-page",
    _page_inputs,
    (DIST / "index.html",),
    _build_page,
)

FUNCTIONS = Step(
    "functions",
    "code of the functions",
    bundle.BUILD / ".set-up-functions",
    _function_inputs,
    (bundle.FUNCTIONS,),
    _bundle_functions,
)
LAYER = Step(
    "layer",
    "packages of the functions",
    bundle.BUILD / ".set-up-layer",
    _layer_inputs,
    (bundle.LAYER,),
    _bundle_layer,
    disk=50,
)
# With what the CDK unpacks into its cache at its first use.
CDK = _npm_step("cdk", "command line of the CDK", ROOT / "infra", ".bin/cdk", disk=290)
AWS_SDK_JS = _npm_step(
    "aws-sdk-js", "Amazon's SDK for JavaScript", ROOT / "tests" / "aws_sdk_js", "@aws-sdk", disk=35
)

WHISPER = _python_step(
    "python-whisper", "faster-whisper", VENV, "gpu_server/requirements-whisper.txt", disk=350
)

#: Lanes run side by side; the steps of a lane one after the other.
GOALS: dict[str, tuple[tuple[Step, ...], ...]] = {
    "demo": ((FUNCTIONS, RUNTIME, EMULATOR), (CDK, NPM, PAGE)),
    "test": (
        (FUNCTIONS, RUNTIME, DEVELOPMENT, EMULATOR, LAYER),
        (CDK, AWS_SDK_JS, NPM, PAGE),
    ),
    "build": ((FUNCTIONS, RUNTIME, LAYER), (CDK, NPM, PAGE)),
    "python": ((RUNTIME,),),
    "dev": ((RUNTIME, DEVELOPMENT),),
    "emulator": ((EMULATOR,),),
    "page": ((NPM, PAGE),),
}


@dataclass
class SetUp:
    """One run of set-up; says which steps are under way and how they end."""

    tools: Tools
    began: dict[Step, float] = field(default_factory=dict)

    def lane(self, steps: tuple[Step, ...]) -> None:
        """Perform those of `steps` that are not current.

        A page is built anew when its packages are: each step is judged when its turn comes.

        Raises:
            SetupError: a step failed; those after it were not tried.
        """
        for step in steps:
            if step.current():
                continue
            self.began[step] = begin = time.monotonic()
            say(f"{step.title}: setting up ...")
            try:
                step.perform(self.tools)
            except SetupError as error:
                raise SetupError(f"{step.title}: {error}") from error
            except OSError as error:
                raise SetupError(f"{step.title}: {unwritable(error)}") from error
            finally:
                del self.began[step]
            say(f"{step.title}: ready after {time.monotonic() - begin:.0f} s")

    def run(self, lanes: list[tuple[Step, ...]]) -> list[SetupError]:
        """Perform lanes side by side and return what went wrong."""
        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            try:
                waiting: set[Future[None]] = {pool.submit(self.lane, lane) for lane in lanes}
                failed: list[SetupError] = []
                while waiting:
                    done, waiting = wait(waiting, timeout=HEARTBEAT, return_when=FIRST_COMPLETED)
                    for future in done:
                        try:
                            future.result()
                        except SetupError as error:
                            failed.append(error)
                            if waiting:
                                title = str(error).partition("\n")[0].rstrip(":")
                                say(f"{title}; waiting for the rest to end ...")
                    if not done:
                        self._report()
            except BaseException:
                self.tools.end()
                raise
        return failed

    def _report(self) -> None:
        for step, begin in tuple(self.began.items()):
            line = self.tools.last_line(step.name)[:90]
            said = "" if line.startswith("$ ") else f": {line}"  # it has printed nothing yet
            say(f"  ... {step.title}, {time.monotonic() - begin:.0f} s{said}")


def _missing_programs() -> list[str]:
    """Return the test programs that this machine lacks."""
    docker = shutil.which("docker") or "false"
    engine = subprocess.run([docker, "info"], capture_output=True, check=False)  # noqa: S603 - asks whether an engine answers
    unneeded = () if engine.returncode else WITHOUT_DOCKER
    return [name for name in TEST_PROGRAMS if name not in unneeded and not shutil.which(name)]


def install_test_programs() -> None:
    """Install the programs that tests use, where the machine lets us; otherwise say what lacks."""
    missing = _missing_programs()
    if not missing:
        return
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        say(f"Debian packages {' '.join(missing)}: installing ...")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(  # noqa: S603 - a fixed call of Debian's installer
                [apt, "-q", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode and arguments[0] == "install":
                say("\n".join(f"    {line}" for line in done.stderr.splitlines()[-TAIL:]))
    for name in _missing_programs():
        say(f"{name} is missing: {TEST_PROGRAMS[name]} will be skipped (apt-get install {name}).")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep a second set-up of this tree waiting until the first has ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this tree is under way; waiting for it ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lanes_of(goal: str, environment: Mapping[str, str]) -> tuple[tuple[Step, ...], ...]:
    """Return what `goal` needs; a demo with a `MODEL` of Whisper also needs who runs it."""
    first, *others = GOALS[goal]
    wanted = environment.get("TRANSCRIBER", "auto")
    if goal == "demo" and environment.get("MODEL") and wanted in ("auto", "faster-whisper"):
        first = (*first, WHISPER)
    return (first, *others)


def set_up(goal: str) -> list[SetupError]:
    """Set up what `goal` needs and return what went wrong."""
    needed = lanes_of(goal, os.environ)
    lanes = [lane for lane in needed if not all(step.current() for step in lane)]
    if not lanes:
        return []
    local = ROOT / ".local"
    with alone(local / "setup.lock"):
        due = [step for lane in lanes for step in lane if not step.current()]
        disk = sum(step.disk for step in due) * MB
        check_disk(shutil.disk_usage(ROOT).free, disk, ROOT)
        if RUNTIME in due:
            say(
                f"The first time {disk / GIB:.1f} GB are installed, here and in the caches of uv, "
                f"npm and the CDK in your home. {FIRST_TIME}"
            )
        return SetUp(Tools(local / "logs")).run(lanes)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Set up what the goal on the command line needs; return the exit status."""
    goal = sys.argv[1] if len(sys.argv) > 1 else "demo"
    if goal not in GOALS:
        say(f"Unknown goal {goal!r}; known are: {', '.join(GOALS)}")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        errors = set_up(goal)
        if goal == "test" and not errors:
            install_test_programs()
    except KeyboardInterrupt:
        say("\nInterrupted. What was finished is kept; run the same command again to go on.")
        return 130
    except SetupError as refusal:
        errors = [refusal]
    except OSError as failure:
        errors = [SetupError(unwritable(failure))]
    for error in errors:
        say(f"\n{error}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
