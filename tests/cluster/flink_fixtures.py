"""Fixtures of the tests on Flink: a cluster, a worker pool, clips."""

import functools
import os
import pathlib
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from deploy.flink.local_flink import LocalFlink
from pipeline.runners.workers.boot import boot_path
from tests.cluster.flink_jobs import (
    NUM_CLIPS,
    FlinkJob,
    listens,
    on_flink,
    running_flink,
)
from tests.conftest import ROOT, Command
from tests.support.audio_files import make_wav
from tests.support.killed_runs import LONG_CLIP
from tests.support.object_stores import free_port
from tests.support.processes import DEADLINE_S, wait_for


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Folder for the temporary files of the cluster's workers."""
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


@pytest.fixture
def all_slots_free(flink: LocalFlink) -> Iterator[None]:
    yield
    flink.cancel_all()
    flink.wait_free(2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Clips of 0.3 to 30 s, most of them short, as in FSD50K, and one of 10 minutes."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(1.5, 1.0, NUM_CLIPS - 1), 0.3, 30.0)
    for index, duration_s in enumerate(seconds):
        make_wav(folder / f"{index}.wav", int(22050 * duration_s), seed=index)
    # So long that a worker can be found while it works on this clip.
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


@pytest.fixture
def output(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "out"


@pytest.fixture
def flink_job(
    flink: LocalFlink,
    manifest: pathlib.Path,
    tiny_model: pathlib.Path,
    output: pathlib.Path,
) -> FlinkJob:
    """Returns command lines of jobs that write to `output`."""
    return functools.partial(on_flink, flink, manifest, tiny_model, output)


@pytest.fixture
def pool(flink: LocalFlink, temporary: pathlib.Path) -> Iterator[str]:
    """Address of a running worker pool."""
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


@pytest.fixture(params=["process", "external"])
def environment(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "process":
        return []
    address = request.getfixturevalue("pool")
    return ["--environment_type=EXTERNAL", f"--environment_config={address}"]
