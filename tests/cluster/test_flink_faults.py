"""Jobs on a real Flink lose no result and leave no process when parts are killed."""

import contextlib
import pathlib
import signal

import pyarrow.parquet as pq
import pytest

from deploy.flink.local_flink import LocalFlink
from tests.cluster.flink_jobs import NUM_CLIPS, FlinkJob, counters
from tests.conftest import Command
from tests.support.datasets import assert_same_dataset, assert_tidy, read
from tests.support.killed_runs import (
    assert_long_clip_is_given_up,
    kill_worker,
    num_committed,
    run_killing_twice,
    worker_held,
    workers_on,
)
from tests.support.processes import (
    DEADLINE_S,
    alive,
    processes_naming,
    running,
    wait_for,
)

pytest_plugins = ["tests.cluster.flink_fixtures"]
pytestmark = [
    pytest.mark.flink,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("all_slots_free"),
]


@pytest.mark.parametrize("victim", ["worker", "task-manager"])
def test_job_goes_on_after_a_kill_and_skips_committed_shards(
    victim: str,
    flink: LocalFlink,
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    arguments = flink_job()
    with running(arguments, tmp_path / "tmp") as process:
        wait_for(lambda: workers_on(temporary) and num_committed(output))
        num_before = num_committed(output)
        if victim == "worker":
            kill_worker(temporary)
        else:
            index = flink.task_manager_in_use()
            flink.kill_task_manager(index)
            flink.start_task_manager(index)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS} clips ok, 0 failed" in stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)
    # Counters of the last start of the stage, which skips committed shards.
    found = counters(output)
    assert found["shards_skipped"] >= num_before
    assert found["clips"] == NUM_CLIPS - sum(
        pq.read_metadata(part).num_rows for part in skipped(output, found)
    )


def skipped(output: pathlib.Path, found: dict[str, int]) -> list[pathlib.Path]:
    """The shards that were committed before the last start of the stage."""
    parts = sorted((output / "ledger").iterdir(), key=lambda part: part.stat().st_mtime)
    return parts[: found["shards_skipped"]]


def test_a_clip_that_kills_workers_twice_is_given_up(
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    output: pathlib.Path,
) -> None:
    arguments = flink_job()
    stdout = run_killing_twice(arguments, tmp_path / "tmp", temporary)
    assert f"{NUM_CLIPS - 1} clips ok, 1 failed" in stdout
    assert_long_clip_is_given_up(output)
    fsdsinet("extract", manifest, "--model", tiny_model, "--output", output,
             "--retry-failed")  # fmt: skip
    assert_same_dataset(output, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_launcher_stops_the_job(
    number: signal.Signals,
    flink: LocalFlink,
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    tmp = tmp_path / "tmp"
    arguments = flink_job()
    with running(arguments, tmp) as process:
        with worker_held(temporary):
            wait_for(lambda: num_committed(output) >= 2)
            java = [pid for pid in processes_naming(str(tmp)) if is_java(pid)]
            process.send_signal(number)
            # A worker that is let go now might end the job before it is cancelled.
            wait_for(lambda: "RUNNING" not in states(flink))
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "to continue, run the same command again" in stderr
    assert states(flink) <= {"CANCELED", "FINISHED", "FAILED"}
    wait_for(lambda: not processes_naming(str(tmp)))
    wait_for(lambda: not list(temporary.glob("fsdsinet-worker-*")))
    # A killed JVM leaves such a file in /tmp, even if TMPDIR is another folder.
    assert java and not {*pathlib.Path("/tmp").glob(f"hsperfdata_*/{java[0]}")}
    assert len(read(output, "ledger")) < NUM_CLIPS
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def is_java(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/exe").readlink().name == "java"
    return False


def states(flink: LocalFlink) -> set[str]:
    return {job["state"] for job in flink.jobs()}


def test_detached_job_is_shown_and_waited_for(
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    arguments = flink_job(options=["--detach"])
    with running(arguments, tmp_path / "tmp") as process:
        with worker_held(temporary):
            said, stderr = process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 0, stderr
            assert f"fsdsinet job {output} --wait" in said
            refused = fsdsinet(*arguments, code=2).stderr
            assert f"is writing to {output}" in refused
            assert "RUNNING" in fsdsinet("job", output).stdout
    said = fsdsinet("job", output, "--wait").stdout
    assert f"{NUM_CLIPS} clips ok, 0 failed" in said
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)
    assert "no job is writing" in fsdsinet("job", output).stdout
    assert counters(output)["clips_ok"] == NUM_CLIPS


def test_job_of_a_killed_launcher_is_found_stopped_and_continued(
    flink: LocalFlink,
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    tmp = tmp_path / "tmp"
    arguments = flink_job()
    with contextlib.ExitStack() as stack:
        launcher = stack.enter_context(running(arguments, tmp))
        with worker_held(temporary):
            wait_for(lambda: num_committed(output) >= 2)
            launcher.kill()
            # The job server ends with its launcher, but the job goes on.
            wait_for(lambda: not processes_naming(str(tmp)))
            assert "RUNNING" in states(flink)
            refused = fsdsinet(*arguments, code=2).stderr
            assert f"'fsdsinet job {output} --wait'" in refused
            stop = stack.enter_context(running(["job", output, "--stop"], tmp))
            wait_for(lambda: "CANCELLING" in states(flink))
        said, stderr = stop.communicate(timeout=DEADLINE_S)
    assert "is stopped" in said, stderr
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def test_workers_end_with_a_killed_task_manager(
    flink: LocalFlink,
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    flink_job: FlinkJob,
) -> None:
    arguments = flink_job(options=["--workers", "1"])
    with running(arguments, tmp_path / "tmp"):
        (pid,) = wait_for(lambda: workers_on(temporary))
        index = flink.task_manager_in_use()
        flink.kill_task_manager(index)
        wait_for(lambda: not alive(pid))
    flink.start_task_manager(index)
