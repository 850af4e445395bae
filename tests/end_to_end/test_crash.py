"""Runs that are killed or stopped lose no row, double no row and leave no file."""

import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Command
from tests.support.audio_files import make_wav
from tests.support.datasets import assert_same_dataset, assert_tidy, read
from tests.support.gated_clip import GatedClip, serving_gated_clip
from tests.support.killed_runs import (
    LONG_CLIP,
    assert_long_clip_is_given_up,
    kill_worker,
    num_committed,
    run_killing_twice,
    workers_on,
)
from tests.support.processes import DEADLINE_S, processes_naming, running, wait_for

NUM_CLIPS = 24
# Two clips each, of these clips and the gated one.
NUM_SHARDS = 13
MOST_ATTEMPTS = 5
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clip_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatedClip]:
    wav = make_wav(tmp_path_factory.mktemp("gated") / "a.wav", 22050 * 8)
    with serving_gated_clip(wav.read_bytes()) as clip:
        yield clip


@pytest.fixture
def gate(clip_server: GatedClip, undisturbed: pathlib.Path) -> Iterator[GatedClip]:
    """The gate of the clip LONG_CLIP; open at the start and the end of every test."""
    yield clip_server
    clip_server.open()


@pytest.fixture(scope="module")
def manifest(
    tmp_path_factory: pytest.TempPathFactory, clip_server: GatedClip
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("crash")
    for index in range(NUM_CLIPS):
        make_wav(folder / f"{index}.wav", 22050 * 6, seed=index)
    rows = [f"{index}.wav,{index}\n" for index in range(NUM_CLIPS)]
    path = folder / "m.csv"
    # First, so that the shard of the gated clip is taken first.
    path.write_text(f"uri,clip_id\n{clip_server.uri},{LONG_CLIP}\n" + "".join(rows))
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


def num_temporary(output: pathlib.Path) -> int:
    return len(list(output.rglob(".part-*.tmp")))


Moment = Callable[[pathlib.Path, pathlib.Path], object]


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
    moment: Moment,
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    for attempt in range(MOST_ATTEMPTS):
        if kill_launcher(arguments, output, tmp_path / f"tmp{attempt}", moment):
            break
        shutil.rmtree(output)
    else:
        pytest.fail(f"the moment was missed {MOST_ATTEMPTS} times")
    gate.open()
    assert num_committed(output) < NUM_SHARDS
    assert num_committed(undisturbed) == NUM_SHARDS
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def kill_launcher(
    arguments: list[str | pathlib.Path],
    output: pathlib.Path,
    tmp: pathlib.Path,
    moment: Moment,
) -> bool:
    """Kills the launcher of a run, and waits until all its processes have ended.

    The gate has to be closed, so that the run does not end before.

    Args:
        arguments: Arguments of `fsdsinet`.
        output: Dataset of the run.
        tmp: Folder for the temporary files of the run.
        moment: Whether to kill now, by `output` and `tmp`.

    Returns:
        False if the moment was over before it was seen.
    """
    is_seen = False

    def is_time_to_kill() -> bool:
        nonlocal is_seen
        is_seen = bool(moment(output, tmp))
        return is_seen or num_committed(output) == NUM_SHARDS - 1

    with running(arguments, tmp) as process:
        wait_for(is_time_to_kill)
        assert process.poll() is None
        process.kill()
    wait_for(lambda: not processes_naming(str(tmp)))
    return is_seen


def test_killed_worker_is_replaced_and_the_dataset_is_the_same(
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    gate.close()
    with running(extract(manifest, tiny_model, output), tmp) as process:
        kill_worker(tmp)
        gate.open()
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS + 1} clips ok, 0 failed" in stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


@pytest.mark.slow
def test_a_clip_that_kills_workers_twice_is_given_up(
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    stdout = run_killing_twice(arguments, tmp, tmp)
    gate.open()
    assert f"{NUM_CLIPS} clips ok, 1 failed" in stdout
    assert_long_clip_is_given_up(output)
    fsdsinet(*arguments, "--retry-failed")
    assert_same_dataset(output, undisturbed)


@pytest.mark.slow
def test_a_clip_that_takes_too_long_is_given_up(
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    stdout = fsdsinet(*arguments, "--clip-timeout", "5").stdout
    gate.open()
    assert f"{NUM_CLIPS} clips ok, 1 failed" in stdout
    (row,) = [r for r in read(output, "ledger").to_pylist() if r["status"] == "failed"]
    found = row["clip_id"], row["stage"], row["error_type"]
    assert found == (LONG_CLIP, "worker", "timeout")
    assert "was not read and decoded within 5 s" in row["error"]
    assert_tidy(output)
    fsdsinet(*arguments, "--retry-failed")
    assert_same_dataset(output, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_clean_and_says_how_to_continue(
    number: signal.Signals,
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) >= 2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "to continue, run the same command again" in stderr
    # Killed processes end a moment later.
    wait_for(lambda: not processes_naming(str(tmp_path)))
    assert not list(tmp.iterdir())
    assert_tidy(output)
    gate.open()
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)


def test_two_runs_into_one_output_are_refused(
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    with running(arguments, tmp):
        wait_for(lambda: workers_on(tmp))
        refused = fsdsinet(*arguments, code=2)
    assert "another run is writing to" in refused.stderr


def test_an_output_that_is_removed_during_a_run_is_noticed_and_made_again(
    gate: GatedClip,
    tmp_path: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(manifest, tiny_model, output)
    gate.close()
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) == NUM_SHARDS - 1)
        shutil.rmtree(output)
        gate.open()
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert f"clips in its ledger, expected {NUM_CLIPS + 1}" in stderr
    assert "Traceback" not in stderr
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
