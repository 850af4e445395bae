"""Runs `fsdsinet` in the background, and finds, stops and awaits processes."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

from tests.conftest import ROOT, command_line

DEADLINE_S = 90


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
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def held(pid: int) -> Iterator[None]:
    """Suspends a process, so that a job that waits for it cannot end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until a condition holds; fails the test after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.002)


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
