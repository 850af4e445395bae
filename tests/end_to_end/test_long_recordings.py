"""Long recordings: the dataset is that of undivided clips, whatever is killed."""

import json
import os
import pathlib
import signal as signals
from collections.abc import Callable

import pytest

from tests.conftest import Command
from tests.support.audio_files import make_readable, make_recordings
from tests.support.datasets import assert_same_dataset, assert_tidy, read
from tests.support.killed_runs import workers_on
from tests.support.processes import DEADLINE_S, running, wait_for
from transforms.job_control.status import read_statuses

# With this hop, segments of 64 patches take 3.2 s.
OPTIONS = ("--patch-hop", "5", "--workers", "2")
SHORT = ("--long-clip", "6")
ONE_WORKER = ("--workers", "1")
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make_recordings(tmp_path_factory.mktemp("recordings"), seconds=25)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
    recordings: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> pathlib.Path:
    """The dataset of undivided clips."""
    output = tmp_path_factory.mktemp("whole") / "out"
    fsdsinet(*extract(recordings, tiny_model, output))
    return output


def extract(
    inputs: pathlib.Path, model: pathlib.Path, output: pathlib.Path, *options: str
) -> list[str | pathlib.Path]:
    start: list[str | pathlib.Path] = ["extract", inputs, "--model", model]
    start += ["--output", output]
    return [*start, *OPTIONS, *options]


def assert_done(output: pathlib.Path, whole: pathlib.Path) -> None:
    assert_same_dataset(output, whole)
    assert_tidy(output)
    assert not (output / "unfinished").exists()


def test_segments_give_the_dataset_of_the_whole(
    recordings: pathlib.Path,
    tiny_model: pathlib.Path,
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    found = {row["clip_id"][:3]: row for row in read(whole, "ledger").to_pylist()}
    assert found["nan"]["error_type"] == "non_finite"
    assert found["cut"]["flags"] == ["truncated"]
    output = tmp_path / "out"
    fsdsinet(*extract(recordings, tiny_model, output, *SHORT))
    assert_done(output, whole)


@pytest.mark.slow
def test_each_recording_of_many_is_computed_by_one_worker(
    recordings: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    names = ["flac.flac", "mp3_44k.mp3"] * 3
    rows = [f"r{index},{name}\n" for index, name in enumerate(names)]
    manifest = recordings / f"{tmp_path.name}.csv"
    manifest.write_text("clip_id,uri\n" + "".join(rows))
    expected, output = tmp_path / "expected", tmp_path / "out"
    fsdsinet(*extract(manifest, tiny_model, expected))
    # The plan predicts from sizes that all of these are longer than a second.
    fsdsinet(*extract(manifest, tiny_model, output, "--long-clip", "1", *ONE_WORKER))
    assert_done(output, expected)


Moment = Callable[[pathlib.Path, pathlib.Path], object]


def num_segments(output: pathlib.Path) -> int:
    return len(list(output.glob("unfinished/*/segment-*.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        lambda output, tmp: list(output.glob("unfinished/*/samples-*.f32")),
        lambda output, tmp: list(output.glob("unfinished/*/recording.json")),
        lambda output, tmp: num_segments(output) >= 1,
        lambda output, tmp: num_segments(output) >= 4,
        lambda output, tmp: list(output.glob("ledger/part-*.parquet")),
    ],
    ids=["samples", "first-pass", "segment", "segments", "committed"],
)
@pytest.mark.parametrize("victim", ["launcher", "worker"])
def test_kills_lose_and_double_nothing(
    victim: str,
    moment: Moment,
    recordings: pathlib.Path,
    tiny_model: pathlib.Path,
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = extract(recordings, tiny_model, output, *SHORT)
    with running(arguments, tmp) as process:
        wait_for(lambda: moment(output, tmp) or process.poll() is not None)
        if victim == "launcher":
            process.kill()
        else:
            pids = wait_for(lambda: workers_on(tmp, None))
            os.kill(pids[0], signals.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (-signals.SIGKILL if victim == "launcher" else 0)
    num_done = num_segments(output)
    fsdsinet(*arguments)
    counters = json.loads((output / "run.json").read_text())["counters"]
    assert counters.get("segments_reused", 0) >= num_done
    assert_done(output, whole)


def worker_on_part(tmp: pathlib.Path, part: str, killed: list[int]) -> int | None:
    """Process id of a worker on a part of a clip that is not in `killed`."""
    for folder in tmp.glob("fsdsinet-*"):
        for pid, status in read_statuses(str(folder)).items():
            if (status.part or "").startswith(part) and pid not in killed:
                return pid
    return None


@pytest.mark.slow
def test_a_segment_that_kills_workers_twice_fails_the_recording(
    tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    inputs, output, tmp = (tmp_path / name for name in ("in", "out", "tmp"))
    inputs.mkdir()
    make_readable(inputs, "pcm16_22k.wav", seconds=70)
    # A segment takes seconds: 640 patches of 32 s.
    arguments: list[str | pathlib.Path] = ["extract", inputs]
    arguments += ["--model", "fsd-sinet-vgg41-tlpf-demo"]
    arguments += ["--patch-hop", "5", "--long-clip", "64", "--output", output]
    killed: list[int] = []
    with running(arguments, tmp) as process:
        for _ in range(2):
            pid = wait_for(lambda: worker_on_part(tmp, "segment 2 of 3", killed))
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signals.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    (row,) = read(output, "ledger").to_pylist()
    assert (row["stage"], row["error_type"]) == ("worker", "worker_died")
    assert "working on segment 2 of 3 (0:00:32 to 0:01:04) of clip" in row["error"]
    assert_tidy(output)
    fsdsinet(*arguments, "--retry-failed")
    assert read(output, "ledger")["status"].to_pylist() == ["ok"]
