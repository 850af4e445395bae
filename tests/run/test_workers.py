"""Workers are forked from a loaded process, end with it, and their deaths are noted."""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import DATA, ROOT, Command
from tests.support.processes import alive, processes_naming, wait_for
from transforms.job_control.deaths import (
    NO_CLIP,
    TWO_SHARDS,
    count_deaths,
    given_up,
    note_death,
)
from transforms.job_control.status import STATUS_FOLDER_VARIABLE

TINY_GRAPH = DATA / "random-tiny-tlpf.pb"
# Program with a pool. It carries out each line of its input and prints each death. The
# name of a worker says what the worker does; each worker makes a file with its name.
POOL = """
import os, pathlib, signal, sys, threading
from pipeline.runners.workers import fork_server
from pipeline.runners.workers.pool import WorkerPool
from transforms.job_control.status import report_clip, report_device

folder, job_folder = sys.argv[1:]

def work(name):
    report_device(name.startswith("two"))
    if name.startswith(("clip", "two")):
        report_clip(name.removeprefix("two-"))
    if name.startswith("slow"):
        report_clip(name, 0.1)
    pathlib.Path(folder, f"{name}.{os.getpid()}").touch()
    if not name.startswith("exit"):
        signal.pause()
    os._exit(int(name.removeprefix("exit")))

fork_server.run_worker = work
pool = WorkerPool(
    fork_server.start_fork_server(), folder, job_folder, lambda p: print(p, flush=True)
)
pool.load([])
numbers = {}
for line in sys.stdin:
    do, name = line.split()
    if do == "start":
        numbers[name] = pool.start(name)
    elif do == "wait":
        print(name, pool.wait(numbers[name]), flush=True)
    else:
        pool.stop(numbers[name])
        print(name, pool.wait(numbers[name]), flush=True)
"""


class Pool:
    """A process that runs POOL."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.job_folder = str(folder / "job")
        self.process = subprocess.Popen(
            [sys.executable, "-c", POOL, folder, self.job_folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                STATUS_FOLDER_VARIABLE: str(folder),
            },
        )

    def tell(self, do: str, name: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{do} {name}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def worker(self, name: str) -> int:
        """Process id of a worker, once the worker has started."""
        wait_for(lambda: list(self._folder.glob(f"{name}.*")))
        (path,) = self._folder.glob(f"{name}.*")
        return int(path.suffix[1:])


@pytest.fixture
def pool(tmp_path: pathlib.Path) -> Iterator[Pool]:
    pool = Pool(tmp_path)
    yield pool
    pool.process.kill()
    pool.process.communicate()


def test_the_pool_learns_how_a_worker_ended(pool: Pool) -> None:
    pool.tell("start", "exit0")
    pool.tell("wait", "exit0")
    assert pool.answer() == "exit0 0"
    pool.tell("start", "exit3")
    pool.tell("wait", "exit3")
    assert pool.answer() == "ended with exit code 3"
    assert pool.answer() == "exit3 3"
    assert not count_deaths(pool.job_folder)


def test_a_killed_worker_is_noted_with_its_clip_and_others_go_on(pool: Pool) -> None:
    for name in ("clip1", "clip2", "idle"):
        pool.tell("start", name)
    first, second, idle = (pool.worker(name) for name in ("clip1", "clip2", "idle"))
    os.kill(first, signal.SIGKILL)
    assert pool.answer() == "ended by SIGKILL"
    pool.tell("wait", "clip1")
    assert pool.answer() == f"clip1 {128 + signal.SIGKILL}"
    assert not alive(first) and alive(second) and alive(idle)
    note_death(pool.job_folder, "clip1", "before")
    assert list(given_up(pool.job_folder)) == ["clip1"]
    os.kill(idle, signal.SIGSEGV)
    assert pool.answer() == "ended by SIGSEGV"
    pool.tell("wait", "idle")
    pool.answer()
    assert count_deaths(pool.job_folder)[NO_CLIP] == 1


def test_a_clip_is_not_blamed_while_a_device_computes_another_shard(
    pool: Pool,
) -> None:
    for name in ("two-clip1", "two-clip2", "clip3"):
        pool.tell("start", name)
        os.kill(pool.worker(name), signal.SIGSEGV)
        assert pool.answer() == "ended by SIGSEGV"
    counts = count_deaths(pool.job_folder)
    assert counts.pop(TWO_SHARDS) == 2
    assert not counts[NO_CLIP] and counts.total() == 1
    assert not given_up(pool.job_folder)
    note_death(pool.job_folder, "clip3", "again")
    assert list(given_up(pool.job_folder)) == ["clip3"]


def test_no_clip_is_blamed_for_a_worker_that_was_stopped(pool: Pool) -> None:
    pool.tell("start", "clip1")
    pid = pool.worker("clip1")
    pool.tell("stop", "clip1")
    assert pool.answer() == f"clip1 {128 + signal.SIGKILL}"
    assert not alive(pid)
    assert not count_deaths(pool.job_folder)


def test_a_worker_is_killed_when_its_clip_is_over_the_time_limit(pool: Pool) -> None:
    for name in ("slow", "clip1"):
        pool.tell("start", name)
    pids = [pool.worker(name) for name in ("slow", "clip1")]
    assert pool.answer() == "ended by SIGKILL"
    assert [alive(pid) for pid in pids] == [False, True]
    (failure,) = given_up(pool.job_folder).values()
    assert failure.error_type == "timeout"
    assert "clip slow: it was not read and decoded within 0 s" in failure.message
    assert not count_deaths(pool.job_folder)


def test_workers_end_with_the_process_that_has_the_pool(pool: Pool) -> None:
    pool.tell("start", "idle")
    pid = pool.worker("idle")
    pool.process.kill()
    wait_for(lambda: has_ended(pid))


def test_a_killed_fork_server_is_noticed(pool: Pool) -> None:
    pool.tell("start", "clip1")
    pid = pool.worker("clip1")
    parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(parent), signal.SIGKILL)
    assert pool.answer() == "ended because the fork server was killed"
    wait_for(lambda: has_ended(pid))
    pool.tell("wait", "clip1")
    assert pool.answer() == f"clip1 {128 + signal.SIGKILL}"


def has_ended(pid: int) -> bool:
    """Whether a process has ended, also if its new parent has not noticed."""
    try:
        return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_only_models_that_survive_a_fork_are_loaded_before_it() -> None:
    """Forked processes would share a connection to a store, and mix up its answers."""
    script = """
import dataclasses, sys
from transforms.models.loading import load_model
from transforms import inference
local = sys.argv[1]
spec = load_model(local)
for engine, path in (
    ("winograd", local), ("essentia", local), ("winograd", "s3://bucket/" + spec.name)
):
    inference._LOADED.clear()
    inference.preload([dataclasses.replace(spec, engine=engine, graph_path=path)])
    print(len(inference._LOADED))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, TINY_GRAPH],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "0", "0"], done.stderr


def test_a_run_that_is_refused_leaves_no_process(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    fsdsinet: Command,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    refused = fsdsinet("extract", "missing.csv", "--model", tiny_model, "--output",
                       tmp_path / "out", code=2)  # fmt: skip
    assert "missing.csv" in refused.stderr
    assert not list(tmp_path.iterdir())
    # Killed processes end a moment later.
    wait_for(lambda: not processes_naming(str(tmp_path)))


def test_a_worker_that_cannot_print_goes_on() -> None:
    """Beam prints a traceback before it answers, and must answer in any case."""
    script = (
        "import os, sys\n"
        "from pipeline.runners.workers.worker import _Stderr\n"
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
        "sys.stderr = _Stderr()\n"
        "print('text', file=sys.stderr, flush=True)\n"
        "print('goes on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n")
