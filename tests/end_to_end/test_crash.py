"""Runs that are killed: nothing is lost or doubled, nothing is left behind."""

import os
import pathlib
import signal
from collections.abc import Callable

import pytest

from tests.conftest import Command
from tests.support.audio_files import make_wav
from tests.support.datasets import assert_same_dataset, assert_tidy
from tests.support.killed_runs import (
    LONG_CLIP,
    assert_long_clip_is_given_up,
    num_committed,
    run_killing_twice,
    workers_on,
)
from tests.support.processes import (
    DEADLINE_S,
    held,
    processes_naming,
    running,
    wait_for,
)

NUM_CLIPS = 24


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


def num_temporary(output: pathlib.Path) -> int:
    return len(list(output.rglob(".part-*.tmp")))


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
    wait_for(lambda: not processes_naming(str(tmp_path)))
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
    assert not processes_naming(str(tmp_path))
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
