"""Keeps this process's memory and environment from its children.

A transcriber's process has the user of the server, and reads files from strangers. Linux would let
it read `/proc/PARENT/environ`, where the secrets are that the server was started with, and also
attach to the parent as a debugger.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

#: From <linux/prctl.h>.
PR_SET_DUMPABLE: Final = 4


def hide() -> None:
    """Let no other process of this user look into this one; it does nothing but on Linux.

    A process that is not dumpable leaves no core, and those files below its `/proc/PID` that tell
    something belong to root; see prctl(2) and proc(5), `PR_SET_DUMPABLE`. Programs that it starts
    are dumpable again. Root, and whoever has CAP_SYS_PTRACE, are not kept out.

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
