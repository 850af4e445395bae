"""Child processes: their life is tied to their parent's, which waits for them."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

PARENT_VARIABLE = "FSDSINET_PARENT_PID"
# For a JVM that lives for a job.
SMALL_JVM = (
    # Up sooner, and smaller.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # It would leave a file in /tmp when it is killed.
    "-XX:-UsePerfData",
)
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


def wait_for_end(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Waits for the end of a process; returns its exit code, None if it goes on.

    `Popen.wait` with a time-out wakes twenty to fifty times a second, beside workers
    that have every core; on Linux the kernel wakes us.
    """
    if process.poll() is not None:
        # Its number may be another's by now.
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
