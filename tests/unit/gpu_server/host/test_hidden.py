"""Children of the server do not see what it was started with."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from gpu_server.host import hidden

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(sys.platform != "linux", reason="it does nothing elsewhere"),
]

#: A server that is not root (65534: nobody), and a child that does what a subverted one could try.
#: Its own descriptors have to stay in sight: `subprocess` closes what is listed there.
SERVER = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as what is not born as root

def child():
    pid = os.fork()
    if pid == 0:
        try:
            print(b"topsecret" in open(f"/proc/{os.getppid()}/environ", "rb").read())
        except PermissionError:
            print("refused")
        os._exit(0)
    os.waitpid(pid, 0)

child()
hide_process()
child()
print(len(os.listdir("/proc/self/fd")) > 0)
"""


def test_a_child_cannot_read_its_parents_environment() -> None:
    finished = subprocess.run(
        [sys.executable, "-I", "-u", "-c", f"{inspect.getsource(hidden)}\n{SERVER}"],
        env={"AUTH_TOKEN": "topsecret"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stdout.split() == ["True", "refused", "True"]
