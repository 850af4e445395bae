"""Jobs on a real Flink write the same dataset; errors say what to do."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

from deploy.flink.local_flink import JOB_SERVER, LocalFlink
from pipeline.runners.flink.rest import FlinkCluster
from tests.cluster.flink_jobs import (
    NUM_CLIPS,
    Arguments,
    FlinkJob,
    counters,
    listens,
    workers,
)
from tests.conftest import ROOT, Command
from tests.support.datasets import assert_same_dataset, assert_tidy, read
from tests.support.killed_runs import num_committed, worker_held
from tests.support.object_stores import free_port
from tests.support.processes import DEADLINE_S, running, wait_for

pytest_plugins = ["tests.cluster.flink_fixtures"]
pytestmark = [
    pytest.mark.flink,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("all_slots_free"),
]


def test_two_processes_at_once_write_the_dataset_of_a_local_run(
    environment: list[str],
    flink: LocalFlink,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    arguments = flink_job(*environment)
    done = fsdsinet(*arguments)
    assert f"{NUM_CLIPS} clips ok, 0 failed" in done.stdout
    assert "models loaded: 2 winograd" in done.stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)
    by_pid: dict[int, list[dict]] = {}
    for worker in workers(output):
        by_pid.setdefault(worker["pid"], []).append(worker)
    assert len(by_pid) == 2
    one, other = by_pid.values()
    assert one[0]["started_s"] < other[-1]["committed_s"]
    assert other[0]["started_s"] < one[-1]["committed_s"]
    found = counters(output)
    assert found["model_loads"] == found["model_loads_winograd"] == 2
    assert found["clips_ok"] == NUM_CLIPS
    assert found["patches"] == read(output, "ledger")["num_patches"].to_numpy().sum()
    for step in ("decode", "resample", "log_mel", "inference", "commit"):
        assert found[f"{step}_us"] > 0
    # Flink's REST interface gives the same counters.
    last = max(flink.jobs(), key=lambda job: job["start-time"])
    assert FlinkCluster(flink.address).counters(last["jid"], "fsdsinet") == found


def test_other_workers_take_the_shards_of_a_worker_that_stands_still(
    temporary: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:
    with running(flink_job(), tmp_path / "tmp") as process:
        with worker_held(temporary):
            # All shards but the one in hand.
            wait_for(lambda: num_committed(output) == NUM_CLIPS // 5 - 1)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS} clips ok, 0 failed" in stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def test_demo_clips_and_their_failures_equal_those_of_a_local_run(
    flink: LocalFlink, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    outputs = [tmp_path / "local", tmp_path / "flink"]
    demo: Arguments = ["extract", "--config", "configs/demo.yaml", "--output"]
    fsdsinet(*demo, outputs[0])
    master = f"--flink_master={flink.address}"
    jar = f"--flink_job_server_jar={JOB_SERVER}"
    done = fsdsinet(*demo, outputs[1], "--runner", "flink", "--", master, jar)
    assert "failed, not_audio: 1" in done.stdout
    assert counters(outputs[1])["clips_failed_not_audio"] == 1
    model = "fsd-sinet-vgg41-tlpf-demo"
    for table in ("ledger", f"patches/model={model}", f"clips/model={model}"):
        assert read(outputs[0], table).equals(read(outputs[1], table)), table


def test_wrong_address_version_and_number_of_workers_are_refused(
    tmp_path: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
    output: pathlib.Path,
) -> None:

    def refused(*flags: str, options: Arguments | None = None) -> str:
        arguments = flink_job(*flags, options=options)
        return str(fsdsinet(*arguments, code=2).stderr)

    said = refused(f"--flink_master=localhost:{free_port()}")
    assert "no Flink answers at http://localhost:" in said
    said = refused(options=["--workers", "3"])
    assert "3 workers need 3 free slots" in said and "has 2 of 2" in said
    assert "hang with it" in refused("--load_balance_bundles")
    other = tmp_path / "beam-runners-flink-1.20-job-server-2.77.0.jar"
    shutil.copy(__file__, other)
    said = refused(f"--flink_job_server_jar={other}")
    assert "the cluster runs Flink 1.19.3, but the job server is for 1.20" in said
    assert "no job server at nothing.jar" in refused(
        "--flink_job_server_jar=nothing.jar"
    )
    assert not output.exists()


def test_missing_pool_is_named(
    fsdsinet: Command,
    flink_job: FlinkJob,
) -> None:
    address = f"localhost:{free_port()}"
    flags = ["--environment_type=EXTERNAL", f"--environment_config={address}"]
    arguments = flink_job(*flags)
    said = fsdsinet(*arguments, code=1).stderr
    assert "no worker pool answers" in said and "fsdsinet-worker --pool" in said


def test_worker_without_the_package_is_named(
    tmp_path: pathlib.Path,
    fsdsinet: Command,
    flink_job: FlinkJob,
) -> None:
    # Beam's own pool, in a Python that has Beam but not this package.
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    process = subprocess.Popen(
        [python, "-m", module, f"--service_port={port}"],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    flags = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
    try:
        wait_for(lambda: listens(port))
        arguments = flink_job(*flags)
        said = fsdsinet(*arguments, code=1).stderr
    finally:
        process.terminate()
        process.wait()
    assert "no worker has begun to work in 60 s: check that" in said
    assert "workers have fsd-sinet-beam in the launcher's version" in said


def test_worker_with_another_version_is_named(
    tmp_path: pathlib.Path,
    flink_job: FlinkJob,
) -> None:
    # The launcher finds this metadata first.
    info = tmp_path / "fsd_sinet_beam-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: fsd-sinet-beam\nVersion: 9.9\n")
    arguments = flink_job()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        # The metadata of a checkout in the current folder would come before it.
        "PYTHONSAFEPATH": "1",
    }
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert "has fsd-sinet-beam 0.1.0, the launcher 9.9" in done.stderr


@pytest.mark.timeout(600)
def test_commands_of_the_documentation_work() -> None:
    if listens(8081):
        pytest.skip("port 8081, which the commands name, is taken")
    text = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    commands = text.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert len(commands) == 5
    shutil.rmtree(ROOT / "out" / "flink", ignore_errors=True)
    said = []
    try:
        for command in commands:
            done = subprocess.run(
                command, shell=True, cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, command + done.stdout + done.stderr
            said.append(done.stdout)
    finally:
        stop = [sys.executable, "-m", "deploy.flink", "stop"]
        subprocess.run(stop, cwd=ROOT, capture_output=True)
    assert "Flink is at localhost:8081" in said[1]
    assert "23 clips ok, 1 failed" in said[2]
    assert "no job is writing to" in said[3] and "finished" in said[3]
