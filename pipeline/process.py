"""Ties the life of a child process to that of its parent."""

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "FSDSINET_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def child_environment() -> dict[str, str]:
    """The environment for children that call `die_with_parent`.

    They do not import from the current folder: a `random.py` there is the user's own.
    """
    return {**os.environ, PARENT_VARIABLE: str(os.getpid()), "PYTHONSAFEPATH": "1"}


def end_with_parent() -> None:
    """The same for a program of others, between fork and exec (`preexec_fn`).

    The thread that starts it must live as long as the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends, however that happens.

    So a killed launcher leaves no worker that goes on writing. Linux only; elsewhere
    workers end when they next talk to the job.
    """
    end_with_parent()
    parent = os.environ.get(PARENT_VARIABLE)
    if parent and os.getppid() != int(parent):
        sys.exit("the parent process has ended")
