"""The end of a child process is noticed, with and without pidfd_open."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from transforms.job_control.child_process import wait_for_end

LONG_S = 60.0


@pytest.fixture(
    params=["pidfd_open", "pidfd_open fails", "no pidfd_open"], autouse=True
)
def pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pid: int) -> int:
        raise OSError("not implemented")

    if request.param == "pidfd_open fails":
        monkeypatch.setattr(os, "pidfd_open", fail, raising=False)
    if request.param == "no pidfd_open":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", code])


@pytest.fixture
def endless() -> Iterator[subprocess.Popen[bytes]]:
    process = start("import signal; signal.pause()")
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_exit_code_is_returned_by_every_call(code: str, expected: int) -> None:
    process = start(code)
    assert wait_for_end(process, LONG_S) == expected
    assert wait_for_end(process, LONG_S) == expected


def test_a_process_that_goes_on_has_not_ended(
    endless: subprocess.Popen[bytes],
) -> None:
    assert wait_for_end(endless, 0.01) is None
    endless.kill()
    assert wait_for_end(endless, LONG_S) == -signal.SIGKILL


def test_a_signal_ends_the_wait(endless: subprocess.Popen[bytes]) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            wait_for_end(endless, LONG_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert endless.poll() is None
