"""The end of a child process: told as it comes, by kernels of all ages."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from transforms.workers.child_process import wait_for_end

LONG_S = 60.0


@pytest.fixture(
    params=["wakes us", "does not know how", "has no call for it"], autouse=True
)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(pid: int) -> int:
        raise OSError("not implemented")

    if request.param == "does not know how":
        monkeypatch.setattr(os, "pidfd_open", unknown, raising=False)
    if request.param == "has no call for it":
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
def test_tells_how_a_process_ended_every_time(code: str, expected: int) -> None:
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
