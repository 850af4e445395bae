"""The nursery forks workers, and who asked for one learns how it ended."""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.runners.workers.nursery import start_nursery
from tests.conftest import DATA, ROOT, Command
from tests.support.datasets import assert_same_dataset
from tests.support.processes import DEADLINE_S, alive, processes_naming, wait_for

TINY_GRAPH = DATA / "random-tiny-tlpf.pb"
# A job with workers that do as they are told, and which note that they are there.
JOB = """
import os, pathlib, signal, sys
from pipeline.runners.workers import nursery

def work():
    pathlib.Path(os.environ["HERE"]).with_suffix(f".{os.getpid()}").touch()
    if os.environ["DO"] == "pause":
        signal.pause()
    os._exit(int(os.environ["DO"]))

nursery.run_worker = work
found = nursery.start_nursery(sys.argv[1])
found.load([])
print(found.command, flush=True)
sys.stdin.read()
"""


class Job:
    """A running job of that kind."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        self._command = self.process.stdout.readline().decode()

    def ask(self, name: str, do: str) -> subprocess.Popen[bytes]:
        """Starts a worker as Beam does."""
        environment = {"HERE": str(self._folder / name), "DO": do}
        return subprocess.Popen(self._command, shell=True, env=environment)

    def worker(self, name: str) -> int:
        """The process id of a worker, once it is there."""
        wait_for(lambda: list(self._folder.glob(f"{name}.*")))
        (path,) = self._folder.glob(f"{name}.*")
        return int(path.suffix[1:])


@pytest.fixture
def job(tmp_path: pathlib.Path) -> Iterator[Job]:
    job = Job(tmp_path)
    yield job
    job.process.kill()
    job.process.communicate()


def test_who_asked_ends_as_the_worker_does(job: Job) -> None:
    for do in ("0", "3"):
        assert job.ask(f"worker{do}", do).wait(DEADLINE_S) == int(do)


def test_workers_end_each_by_itself(job: Job) -> None:
    first, second = job.ask("first", "pause"), job.ask("second", "pause")
    pids = [job.worker("first"), job.worker("second")]
    os.kill(pids[0], signal.SIGKILL)
    assert first.wait(DEADLINE_S) == 128 + signal.SIGKILL
    # Nobody waits for what is gone: the launcher asks whether it runs.
    assert not alive(pids[0])
    assert second.poll() is None and alive(pids[1])
    os.kill(pids[1], signal.SIGTERM)
    assert second.wait(DEADLINE_S) == 128 + signal.SIGTERM


def test_workers_and_who_asked_end_with_the_job(job: Job) -> None:
    asked = job.ask("only", "pause")
    pid = job.worker("only")
    job.process.kill()
    assert asked.wait(DEADLINE_S) == 1
    wait_for(lambda: has_ended(pid))


def has_ended(pid: int) -> bool:
    """Also if whoever inherited the process has not noticed."""
    try:
        return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(
    ("engine", "path", "expected"),
    [
        ("winograd", str(TINY_GRAPH), ["here"]),
        ("essentia", str(TINY_GRAPH), []),
        ("winograd", f"s3://bucket/{TINY_GRAPH.name}", []),
    ],
)
def test_only_what_outlives_a_fork_is_loaded_before_one(
    engine: str, path: str, expected: list[str]
) -> None:
    """Connections to a store would be shared, and clips mixed up."""
    script = """
import sys
from transforms.models.loading import load_model
from transforms import inference
import dataclasses
local, path, engine = sys.argv[1:]
spec = dataclasses.replace(load_model(local), engine=engine, graph_path=path)
inference.preload([spec])
print(*("here" for _ in inference._PRELOADED))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, TINY_GRAPH, path, engine],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == expected, done.stderr


def test_there_is_none_where_a_socket_has_no_room(tmp_path: pathlib.Path) -> None:
    assert start_nursery(str(tmp_path / ("x" * 100))) is None


def test_a_run_without_a_nursery_gives_the_same(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    fsdsinet: Command,
) -> None:
    arguments = ("extract", corpus, "--model", tiny_model, "--output")
    fsdsinet(*arguments, tmp_path / "forked")
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    fsdsinet(*arguments, tmp_path / "started")
    assert_same_dataset(tmp_path / "started", tmp_path / "forked")
    assert not list(deep.iterdir())


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
