"""Hides this process's memory and environment from its child processes.

A transcriber's process runs as the server's user and reads files from strangers. Linux would let
it read `/proc/PARENT/environ`, which holds the secrets that the server was started with, and let
it attach to the server as a debugger.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

#: From <linux/prctl.h>.
PR_SET_DUMPABLE: Final = 4


def hide_process() -> None:
    """Prevent other processes of this user from inspecting this one. Only Linux is supported.

    A process that is not dumpable writes no core dump, and the sensitive files below its
    `/proc/PID` belong to root; see prctl(2) and proc(5), `PR_SET_DUMPABLE`. Programs that it starts
    are dumpable again. Root and processes with CAP_SYS_PTRACE still have access.

    Raises:
        OSError: the system refuses.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_DUMPABLE, zero, zero, zero, zero) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
