"""The local Flink cluster starts, loses a TaskManager, and ends completely."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from deploy.flink.local_flink import LocalFlink, LocalFlinkError
from tests.cluster.flink_jobs import require_flink, running_flink
from tests.conftest import ROOT

pytestmark = pytest.mark.flink


def java_processes(folder: pathlib.Path) -> list[int]:
    """Process ids of a cluster, whose processes all get its folder as an argument."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if command[0] == b"java" and f"--configDir={folder}".encode() in command:
            found.append(int(path.parent.name))
    return found


def wait_for_none(folder: pathlib.Path) -> None:
    deadline = time.monotonic() + 20
    while java_processes(folder):
        assert time.monotonic() < deadline, "a process was left"
        time.sleep(0.05)


def test_cluster_loses_a_task_manager_and_gets_it_back(
    tmp_path: pathlib.Path,
) -> None:
    with running_flink(tmp_path) as flink:
        assert len(java_processes(tmp_path)) == 3
        assert flink.overview()["slots-available"] == 2
        assert flink.jobs() == []
        flink.kill_task_manager(0)
        flink.wait_free(1)
        assert flink.overview()["slots-total"] == 1
        flink.start_task_manager(0)
        flink.wait_free(2)
        flink.cancel_all()
    assert java_processes(tmp_path) == []
    assert not (tmp_path / "tmp").exists()


def test_cluster_that_cannot_start_says_why(tmp_path: pathlib.Path) -> None:
    require_flink()
    with pytest.raises(
        LocalFlinkError, match="a process has ended(.|\n)*soon"
    ) as error:
        with LocalFlink(tmp_path, settings={"heartbeat.interval": "soon"}):
            pass
    assert "JobManager did not start" in str(error.value)
    assert java_processes(tmp_path) == []


def test_waiting_has_a_time_limit(tmp_path: pathlib.Path) -> None:
    with running_flink(tmp_path, 1) as flink:
        with pytest.raises(
            LocalFlinkError, match="no job took a slot: 1 s have passed"
        ):
            flink.task_manager_in_use(limit_s=1)
        with pytest.raises(LocalFlinkError, match="not 2 slots got free"):
            flink.wait_free(2, limit_s=1)


def test_cluster_ends_with_the_process_that_started_it(tmp_path: pathlib.Path) -> None:
    require_flink()
    code = """
import pathlib, sys
from deploy.flink.local_flink import LocalFlink
flink = LocalFlink(pathlib.Path(sys.argv[1]), 1)
flink.start()
print("up", flush=True)
flink.wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert len(java_processes(tmp_path)) == 2
        os.kill(process.pid, signal.SIGKILL)
    wait_for_none(tmp_path)


def test_cluster_is_started_and_stopped_by_commands(tmp_path: pathlib.Path) -> None:
    require_flink()

    def command(*arguments: str, code: int = 0) -> str:
        completed = subprocess.run(
            [sys.executable, "-m", "deploy.flink", *arguments, f"--folder={tmp_path}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert completed.returncode == code, completed.stdout + completed.stderr
        return completed.stdout + completed.stderr

    assert command("status", code=1) == "no local Flink runs\n"
    try:
        started = command("start", "--task-managers", "1", "--port", "0")
        address = started.split()[3]
        assert address in command("status")
        assert "1 of 1 slots are free" in command("status")
        assert "runs already" in command("start", code=1)
    finally:
        command("stop")
    assert java_processes(tmp_path) == []
    assert command("stop", code=1) == "no local Flink runs\n"
