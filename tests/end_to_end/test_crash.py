"""Runs that are killed: nothing is lost or doubled, nothing is left behind."""

import contextlib
import glob
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ROOT, Command, command_line
from tests.end_to_end.test_end_to_end import assert_same_dataset, assert_tidy, read
from tests.support.audio_files import make_wav

NUM_CLIPS = 24
LONG_CLIP = "long"
DEADLINE_S = 90


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("crash")
    for index in range(NUM_CLIPS):
        make_wav(folder / f"{index}.wav", 22050 * 6, seed=index)
    # In hand for long enough to be caught at it.
    make_wav(folder / f"{LONG_CLIP}.wav", 22050 * 240)
    names = [*(str(index) for index in range(NUM_CLIPS)), LONG_CLIP]
    rows = [f"{name}.wav,{name}\n" for name in names]
    path = folder / "m.csv"
    path.write_text("uri,clip_id\n" + "".join(rows))
    return path


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    fsdsinet(*extract(manifest, tiny_model, output))
    return output


def extract(
    manifest: pathlib.Path, model: pathlib.Path, output: pathlib.Path
) -> list[str | pathlib.Path]:
    arguments: list[str | pathlib.Path] = ["extract", manifest, "--model", model]
    return [*arguments, "--output", output, "--workers", "2", "--shard-clips", "2"]


@contextlib.contextmanager
def running(
    arguments: list[str | pathlib.Path], tmp: pathlib.Path
) -> Iterator[subprocess.Popen]:
    """A run in the background with its own temporary folder, killed at the end."""
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
    """A process stands still: what waits for it does not end meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the awaited moment did not come"
        time.sleep(0.002)


def num_committed(output: pathlib.Path) -> int:
    return len(list(output.glob("ledger/part-*.parquet")))


def num_temporary(output: pathlib.Path) -> int:
    return len(list(output.rglob(".part-*.tmp")))


def workers_on(tmp: pathlib.Path, clip_id: str) -> list[int]:
    """Processes that have a clip in hand."""
    found = []
    # Not Path.glob: a folder may be removed while it looks.
    for path in map(pathlib.Path, glob.glob(f"{tmp}/fsdsinet-*/*.json")):
        with contextlib.suppress(ValueError, FileNotFoundError):
            line = path.read_bytes().partition(b"\n")[0]
            if json.loads(line)["clip_id"] == clip_id and alive(int(path.stem)):
                found.append(int(path.stem))
    return found


def alive(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()


def processes_writing_to(output: pathlib.Path) -> list[int]:
    """Processes of ours whose environment or command names the run's folder."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if str(output.parent).encode() in text and folder.name != str(os.getpid()):
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize(
    "moment",
    [
        lambda output, tmp: (output / "run.json").exists(),
        lambda output, tmp: list(tmp.glob("fsdsinet-*/*.json")),
        lambda output, tmp: num_committed(output) >= 1,
        lambda output, tmp: num_committed(output) >= 5 and num_temporary(output),
        lambda output, tmp: num_committed(output) >= 10,
    ],
    ids=["start", "workers", "first-commit", "writing", "late"],
)
def test_killed_launcher_then_same_command_gives_the_same_dataset(
    moment: Callable[[pathlib.Path, pathlib.Path], object],
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    with running(arguments, tmp) as process:
        wait_for(lambda: moment(output, tmp) or process.poll() is not None)
        assert process.poll() is None, "the run ended before the moment came"
        process.kill()
    wait_for(lambda: not processes_writing_to(output))
    assert num_committed(output) < num_committed(undisturbed)
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def test_killed_worker_is_replaced_and_the_dataset_is_the_same(
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    with running(extract(manifest, tiny_model, output), tmp) as process:
        wait_for(lambda: workers_on(tmp, LONG_CLIP))
        os.kill(workers_on(tmp, LONG_CLIP)[0], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS + 1} clips ok, 0 failed" in stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def run_killing_twice(
    arguments: list[str | pathlib.Path], tmp: pathlib.Path, marks: pathlib.Path
) -> str:
    """Runs a job, and kills the first two workers that take the long clip.

    Args:
        arguments: Of the job.
        tmp: Its temporary files.
        marks: Where its workers say what they have in hand.

    Returns:
        What it printed.
    """
    killed: set[int] = set()
    with running(arguments, tmp) as process:
        for _ in range(2):
            wait_for(lambda: set(workers_on(marks, LONG_CLIP)) - killed)
            (pid,) = set(workers_on(marks, LONG_CLIP)) - killed
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    return str(stdout)


def assert_long_clip_is_given_up(output: pathlib.Path) -> None:
    (row,) = [r for r in read(output, "ledger").to_pylist() if r["status"] == "failed"]
    found = row["clip_id"], row["stage"], row["error_type"]
    assert found == (LONG_CLIP, "worker", "worker_died")
    assert "died 2 times while working on clip long" in row["error"]
    assert_tidy(output)


def test_a_clip_that_kills_workers_twice_is_given_up(
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    stdout = run_killing_twice(arguments, tmp, tmp)
    assert f"{NUM_CLIPS} clips ok, 1 failed" in stdout
    assert_long_clip_is_given_up(output)
    fsdsinet(*arguments, "--retry-failed")
    assert_same_dataset(output, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_clean_and_says_how_to_continue(
    number: signal.Signals,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) >= 2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "to continue, run the same command again" in stderr
    assert not processes_writing_to(output)
    assert not list(tmp.iterdir())
    assert_tidy(output)
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)


def test_two_runs_into_one_output_are_refused(
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    with running(arguments, tmp):
        wait_for(lambda: workers_on(tmp, LONG_CLIP))
        with held(workers_on(tmp, LONG_CLIP)[0]):
            refused = fsdsinet(*arguments, code=2)
    assert "another run is writing to" in refused.stderr
