"""Runs `fsdsinet` in the background, and finds, stops and awaits processes."""

import contextlib
import glob
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tests.conftest import ROOT, command_line

# Far longer than anything takes on a busy machine.
DEADLINE_S = 180
# In /proc: running, sleeping, and waiting for a disk.
RUNNING_STATES = {"R", "S", "D"}
Found = TypeVar("Found")


@contextlib.contextmanager
def running(
    arguments: list[str | pathlib.Path], tmp: pathlib.Path
) -> Iterator[subprocess.Popen]:
    """A command in the background, killed on exit.

    Args:
        arguments: Arguments of `fsdsinet`.
        tmp: Folder for the temporary files of the command.
    """
    tmp.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
    process = subprocess.Popen(
        command_line(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
        preexec_fn=_heed_interrupts,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _heed_interrupts() -> None:
    """Children ignore SIGINT if a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def held(pid: int) -> Iterator[None]:
    """Suspends a process, so that a job that waits for it cannot end."""
    suspend(pid)
    try:
        yield
    finally:
        resume(pid)


def suspend(pid: int) -> None:
    """Returns when no thread of the process runs any more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: not thread_states(pid) & RUNNING_STATES)


def resume(pid: int) -> None:
    """Does nothing if the process has been killed meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def thread_states(pid: int) -> set[str]:
    """Letters of the states of a process's threads; empty if there is no process."""
    found = set()
    for path in glob.glob(f"/proc/{pid}/task/*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name before the state is in parentheses and may contain others.
            found.add(pathlib.Path(path).read_text().rpartition(") ")[2][0])
    return found


def wait_for(condition: Callable[[], Found]) -> Found:
    """Waits until a condition is true and returns its value; fails after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.002)
    return found


def alive(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()


def processes_naming(text: str) -> list[int]:
    """Other processes whose command line or environment contains a text."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if text.encode() in said and folder.name != str(os.getpid()):
                found.append(int(folder.name))
    return found
