"""Jobs on a real Flink: the same dataset, also when parts of the cluster are killed."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from deploy.flink.local_flink import JOB_SERVER, LocalFlink
from pipeline.boot import boot_path
from pipeline.flink_rest import FlinkCluster
from tests.audio_files import make_wav
from tests.conftest import ROOT, Command
from tests.flink_cluster import running_flink
from tests.test_crash import (
    DEADLINE_S,
    alive,
    num_committed,
    running,
    wait_for,
    workers_on,
)
from tests.test_end_to_end import assert_same_dataset, assert_tidy, read

pytestmark = [pytest.mark.flink, pytest.mark.timeout(400)]

NUM_CLIPS = 200
LONG_CLIP = "long"
Arguments = list[str | pathlib.Path]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Temporary files of the cluster's workers."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def flink(
    tmp_path_factory: pytest.TempPathFactory, temporary: pathlib.Path
) -> Iterator[LocalFlink]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("PYTHONPATH", str(ROOT))
        with running_flink(tmp_path_factory.mktemp("flink")) as cluster:
            yield cluster


@pytest.fixture(autouse=True)
def all_slots_free(flink: LocalFlink) -> Iterator[None]:
    yield
    flink.cancel_all()
    flink.wait_free(2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Clips of 0.3 to 30 s, most of them short, as FSD50K's are; one of 10 minutes."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(1.5, 1.0, NUM_CLIPS - 1), 0.3, 30.0)
    for index, duration_s in enumerate(seconds):
        make_wav(folder / f"{index}.wav", int(22050 * duration_s), seed=index)
    # In hand for long enough to be caught at it.
    make_wav(folder / f"{LONG_CLIP}.wav", 22050 * 600)
    names = [*map(str, range(NUM_CLIPS - 1)), LONG_CLIP]
    path = folder / "m.csv"
    path.write_text("uri,clip_id\n" + "".join(f"{n}.wav,{n}\n" for n in names))
    return path


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    fsdsinet("extract", manifest, "--model", tiny_model, "--output", output)
    return output


def on_flink(
    flink: LocalFlink,
    manifest: pathlib.Path,
    model: pathlib.Path,
    output: pathlib.Path,
    *beam_flags: str,
    options: Arguments | None = None,
) -> Arguments:
    """A command line. Shards are small, so that some are done at any moment."""
    arguments: Arguments = ["extract", manifest, "--model", model, "--output", output]
    arguments += ["--runner", "flink", "--shard-clips", "5", *(options or []), "--"]
    master = f"--flink_master={flink.address}"
    return [*arguments, master, f"--flink_job_server_jar={JOB_SERVER}", *beam_flags]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def pool(flink: LocalFlink, temporary: pathlib.Path) -> Iterator[str]:
    """A worker pool's address."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [boot_path(), "--pool", f"--port={port}"], env=environment
    )
    try:
        wait_for(lambda: listens(port))
        yield f"localhost:{port}"
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def workers(output: pathlib.Path) -> list[dict]:
    """Who committed each shard, and when."""
    parts = sorted((output / "ledger").iterdir())
    found = [json.loads(pq.read_schema(part).metadata[b"worker"]) for part in parts]
    return sorted(found, key=lambda worker: worker["started_s"])


def counters(output: pathlib.Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((output / "run.json").read_text())["counters"]
    return found


@pytest.fixture(params=["process", "external"])
def environment(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "process":
        return []
    address = request.getfixturevalue("pool")
    return ["--environment_type=EXTERNAL", f"--environment_config={address}"]


def test_dataset_is_that_of_a_local_run_by_two_processes_at_a_time(
    environment: list[str],
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    arguments = on_flink(flink, manifest, tiny_model, output, *environment)
    done = fsdsinet(*arguments)
    assert f"{NUM_CLIPS} clips ok, 0 failed" in done.stdout
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
    # The same numbers, in Flink's own interface.
    last = max(flink.jobs(), key=lambda job: job["start-time"])
    assert FlinkCluster(flink.address).counters(last["jid"], "fsdsinet") == found


def test_demo_clips_give_the_same_with_their_failures(
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


@pytest.mark.parametrize("victim", ["worker", "task-manager"])
def test_job_goes_on_after_a_kill_and_does_no_committed_shard_again(
    victim: str,
    flink: LocalFlink,
    temporary: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
) -> None:
    output = tmp_path / "out"
    arguments = on_flink(flink, manifest, tiny_model, output)
    with running(arguments, tmp_path / "tmp") as process:
        wait_for(lambda: workers_on(temporary, LONG_CLIP) and num_committed(output))
        num_before = num_committed(output)
        if victim == "worker":
            os.kill(workers_on(temporary, LONG_CLIP)[0], signal.SIGKILL)
        else:
            index = flink.task_manager_in_use()
            flink.kill_task_manager(index)
            flink.start_task_manager(index)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS} clips ok, 0 failed" in stdout
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)
    # Those of the last start of the stage: nothing that was committed is done again.
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
    flink: LocalFlink,
    temporary: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    arguments = on_flink(flink, manifest, tiny_model, output)
    killed: set[int] = set()
    with running(arguments, tmp_path / "tmp") as process:
        for _ in range(2):
            wait_for(lambda: set(workers_on(temporary, LONG_CLIP)) - killed)
            (pid,) = set(workers_on(temporary, LONG_CLIP)) - killed
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert f"{NUM_CLIPS - 1} clips ok, 1 failed" in stdout
    (row,) = [r for r in read(output, "ledger").to_pylist() if r["status"] == "failed"]
    assert (row["clip_id"], row["error_type"]) == (LONG_CLIP, "worker_died")
    assert "died 2 times while working on clip long" in row["error"]
    assert_tidy(output)
    fsdsinet("extract", manifest, "--model", tiny_model, "--output", output,
             "--retry-failed")  # fmt: skip
    assert_same_dataset(output, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_launcher_stops_the_job(
    number: signal.Signals,
    flink: LocalFlink,
    temporary: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = on_flink(flink, manifest, tiny_model, output)
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) >= 2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "to continue, run the same command again" in stderr
    assert {job["state"] for job in flink.jobs()} <= {"CANCELED", "FINISHED", "FAILED"}
    wait_for(lambda: not processes_naming(str(tmp)))
    wait_for(lambda: not list(temporary.glob("fsdsinet-worker-*")))
    assert len(read(output, "ledger")) < NUM_CLIPS
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def processes_naming(text: str) -> list[int]:
    """Processes whose environment or command has a text, but not this one."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in said and folder.name != str(os.getpid()):
            found.append(int(folder.name))
    return found


def test_detached_job_is_shown_and_waited_for(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    arguments = on_flink(flink, manifest, tiny_model, output, options=["--detach"])
    said = fsdsinet(*arguments).stdout
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
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    undisturbed: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = on_flink(flink, manifest, tiny_model, output)
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) >= 2)
        process.kill()
    # The job server ends with its launcher, the job does not.
    wait_for(lambda: not processes_naming(str(tmp)))
    assert [job for job in flink.jobs() if job["state"] == "RUNNING"]
    refused = fsdsinet(*arguments, code=2).stderr
    assert f"'fsdsinet job {output} --wait'" in refused
    assert "is stopped" in fsdsinet("job", output, "--stop").stdout
    fsdsinet(*arguments)
    assert_same_dataset(output, undisturbed)
    assert_tidy(output)


def test_wrong_address_version_and_number_are_refused_at_once(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"

    def refused(*flags: str, options: Arguments | None = None) -> str:
        arguments = on_flink(
            flink, manifest, tiny_model, output, *flags, options=options
        )
        return str(fsdsinet(*arguments, code=2).stderr)

    said = refused(f"--flink_master=localhost:{free_port()}")
    assert "no Flink answers at http://localhost:" in said
    said = refused(options=["--workers", "3"])
    assert "3 workers need 3 free slots" in said and "has 2 of 2" in said
    assert "hang with it" in refused("--load_balance_bundles")
    other = tmp_path / "beam-runners-flink-1.20-job-server-2.77.0.jar"
    shutil.copy(__file__, other)
    said = refused(f"--flink_job_server_jar={other}")
    assert "the cluster is Flink 1.19.3, the job server for 1.20" in said
    assert "no job server at nothing.jar" in refused(
        "--flink_job_server_jar=nothing.jar"
    )
    assert not output.exists()


def test_missing_pool_is_named(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    address = f"localhost:{free_port()}"
    flags = ["--environment_type=EXTERNAL", f"--environment_config={address}"]
    arguments = on_flink(flink, manifest, tiny_model, tmp_path / "out", *flags)
    said = fsdsinet(*arguments, code=1).stderr
    assert "no worker pool answers" in said and "fsdsinet-worker --pool" in said


def test_worker_without_the_package_is_named(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    # Beam's own pool, in a Python that has Beam but not what is installed in place.
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
        arguments = on_flink(flink, manifest, tiny_model, tmp_path / "out", *flags)
        said = fsdsinet(*arguments, code=1).stderr
    finally:
        process.terminate()
        process.wait()
    assert "no worker has done anything in 60 s: do they have fsd-sinet-beam" in said


def test_worker_with_another_version_is_named(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The launcher finds this metadata first.
    info = tmp_path / "fsd_sinet_beam-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: fsd-sinet-beam\nVersion: 9.9\n")
    arguments = on_flink(flink, manifest, tiny_model, tmp_path / "out")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert "has fsd-sinet-beam 0.1.0, the launcher 9.9" in done.stderr


def test_workers_end_with_a_killed_task_manager(
    flink: LocalFlink,
    temporary: pathlib.Path,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    output = tmp_path / "out"
    arguments = on_flink(
        flink, manifest, tiny_model, output, options=["--workers", "1"]
    )
    with running(arguments, tmp_path / "tmp"):
        wait_for(lambda: workers_on(temporary, LONG_CLIP))
        (pid,) = workers_on(temporary, LONG_CLIP)
        index = flink.task_manager_in_use()
        flink.kill_task_manager(index)
        wait_for(lambda: not alive(pid))
    flink.start_task_manager(index)


@pytest.mark.timeout(600)
def test_the_newcomers_commands(flink: LocalFlink) -> None:
    if listens(8081):
        pytest.skip("port 8081, which the commands name, is taken")
    text = (ROOT / "docs" / "flink.md").read_text(encoding="utf-8")
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
