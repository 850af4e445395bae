"""The pool of workers that runs beside a TaskManager."""

import os
import pathlib
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2

from pipeline.runners.workers.external_pool import ExternalPool
from pipeline.runners.workers.pool import WorkerPool
from pipeline.runners.workers.worker import WorkerRequest
from tests.conftest import ROOT
from tests.support.object_stores import free_port
from tests.support.processes import DEADLINE_S

# Values in /proc/net/tcp and tcp6: the loopback address and its two forms in IPv6.
LOOPBACK = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}
# State of a listening socket in the same files.
LISTENS = "0A"


def listening_addresses(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]:
            address, at = line.split()[1].split(":")
            if int(at, 16) == port and line.split()[3] == LISTENS:
                found.add(address)
    return found


def test_pool_listens_only_to_its_own_machine_and_ends_at_sigterm() -> None:
    port = free_port()
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipeline.runners.workers.boot",
            "--pool",
            f"--port={port}",
        ],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as process:
        assert process.stderr
        assert any(f"a pool at localhost:{port}" in line for line in process.stderr)
        addresses = listening_addresses(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert addresses
    assert addresses <= LOOPBACK


def test_pool_without_its_fork_server_ends_so_that_it_can_be_started_again() -> None:
    port = free_port()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline.runners.workers.boot"),
            *("--pool", f"--port={port}"),
        ],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as process:
        assert process.stderr
        assert any(f"a pool at localhost:{port}" in line for line in process.stderr)
        task = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (server,) = map(int, task.read_text().split())
        os.kill(server, signal.SIGKILL)
        assert process.wait(DEADLINE_S) == 1


def test_workers_of_two_task_managers_are_told_apart() -> None:
    class FakePool:
        def __init__(self) -> None:
            self.running: list[int] = []
            self.num_started = 0

        def start(self, request: WorkerRequest) -> int:
            assert request == WorkerRequest("1-1", "p:1", "c:1", "l:1")
            self.num_started += 1
            self.running.append(self.num_started)
            return self.num_started

        def stop(self, number: int) -> None:
            self.running.remove(number)

    fake = FakePool()
    pool = ExternalPool(cast(WorkerPool, fake))
    one, other = SimpleNamespace(peer=lambda: "a"), SimpleNamespace(peer=lambda: "b")
    addresses = {
        f"{name}_endpoint": endpoints_pb2.ApiServiceDescriptor(url=f"{name[0]}:1")
        for name in ("provision", "control", "logging")
    }
    start = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", **addresses)
    stop = beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1")
    pool.StartWorker(start, one)
    pool.StartWorker(start, other)
    pool.StopWorker(stop, one)
    assert fake.running == [2]
    pool.StopWorker(stop, one)
    assert fake.running == [2]
