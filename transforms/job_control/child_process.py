"""Child processes: their environment, their end with their parent, and waiting."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

from transforms.essentia_import import TENSORFLOW_ENVIRONMENT

# For processes that run models: one thread, because Essentia holds Python's lock while
# it computes and a worker has one core. They must be set before numpy is imported.
WORKER_ENVIRONMENT = {**TENSORFLOW_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
_PARENT_VARIABLE = "FSDSINET_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def child_environment() -> dict[str, str]:
    """The environment for children that call `die_with_parent`.

    Children do not import from the current folder, where a `random.py` of the user may
    be.
    """
    return {**os.environ, _PARENT_VARIABLE: str(os.getpid()), "PYTHONSAFEPATH": "1"}


def end_with_parent() -> None:
    """Has the kernel kill this process when its parent thread ends (Linux only).

    For a forked process, and for `preexec_fn` of another program. The thread that
    starts the process must live as long as the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends, however the parent ends.

    A killed launcher then leaves no worker that goes on writing. Linux only; elsewhere
    workers end when they next talk to the job.
    """
    end_with_parent()
    parent = os.environ.get(_PARENT_VARIABLE)
    if parent and os.getppid() != int(parent):
        sys.exit("the parent process has ended")


def wait_for_end(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Waits for the end of a process; returns its exit code, None if it goes on.

    `Popen.wait` with a timeout wakes up twenty to fifty times a second, which takes
    time from workers that use every core. On Linux the kernel wakes this process.
    """
    if process.poll() is not None:
        # Its process id may be reused by now.
        return process.returncode
    try:
        end = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout_s)
        return None
    try:
        poller = select.poll()
        poller.register(end, select.POLLIN)
        poller.poll(timeout_s * 1000)
    finally:
        os.close(end)
    return process.poll()
