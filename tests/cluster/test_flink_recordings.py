"""Long recordings on a real Flink have the dataset of a local run, despite a kill."""

import pathlib

import pytest

from deploy.flink.local_flink import LocalFlink
from tests.cluster.flink_jobs import counters, on_flink
from tests.conftest import Command
from tests.support.audio_files import make_recordings
from tests.support.datasets import assert_same_dataset, assert_tidy
from tests.support.killed_runs import kill_worker
from tests.support.processes import DEADLINE_S, running, wait_for

pytest_plugins = ["tests.cluster.flink_fixtures"]
pytestmark = [
    pytest.mark.flink,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("all_slots_free"),
]


@pytest.mark.parametrize("victim", ["worker", "task-manager"])
def test_segments_are_computed_once_and_joined_after_a_kill(
    victim: str,
    flink: LocalFlink,
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    output: pathlib.Path,
    fsdsinet: Command,
) -> None:
    (tmp_path / "in").mkdir()
    inputs = make_recordings(tmp_path / "in", seconds=40)
    expected = tmp_path / "expected"
    fsdsinet("extract", inputs, "--model", tiny_model, "--patch-hop", "5",
             "--output", expected)  # fmt: skip
    options = ["--patch-hop", "5", "--long-clip", "6"]
    arguments = on_flink(flink, inputs, tiny_model, output, options=[*options])
    with running(arguments, tmp_path / "tmp") as process:
        wait_for(lambda: list(output.glob("unfinished/*/segment-*.parquet")))
        if victim == "worker":
            kill_worker(temporary, clip_id=None)
        else:
            index = flink.task_manager_in_use()
            flink.kill_task_manager(index)
            flink.start_task_manager(index)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert counters(output)["segments"] > 0
    assert_same_dataset(output, expected)
    assert_tidy(output)
