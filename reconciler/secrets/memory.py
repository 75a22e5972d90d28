"""Keeping what is in memory out of files that outlive it."""

import ctypes
import resource

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def protect() -> None:
    """
    Let no crash write our memory to a disk, and nobody but root trace us.

    For this process: RLIMIT_CORE stops the kernel's own core files, and a process that
    is not dumpable is not handed to a collector such as systemd-coredump either
    (core(5), prctl(2)). Commands that we start inherit the limit.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
