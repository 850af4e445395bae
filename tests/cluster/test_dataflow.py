"""The whole job for Dataflow is built and checked, but not submitted."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.runners import dataflow as dataflow_runner
from tests.conftest import ROOT, command_line
from tests.support.object_stores import make_google_bucket, running_google

# Beam's parts for Google: see deploy/dataflow/requirements.txt.
LIBRARIES = ROOT / "build" / "dataflow"
CONFIG = str(ROOT / "configs" / "dataflow.yaml")
GPU_CONFIG = str(ROOT / "configs" / "dataflow-gpu.yaml")
needs_libraries = pytest.mark.skipif(
    not (LIBRARIES / "ready").exists(),
    reason="no build/dataflow: 'make test' installs it",
)


def config_with(*flags: str, **settings: Any) -> Any:
    config = load_config(CONFIG, [], settings)
    return load_config(CONFIG, [], {**settings, "beam_flags": (
        *config.beam_flags, *flags)})  # fmt: skip


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{LIBRARIES}:{ROOT}", **environment},
    )


BUILD = """
import json, sys
from pipeline.runners import dataflow as dataflow_runner
from pipeline.config import load_config
from pipeline.extract import ExtractJob
from pipeline.launch.identity import dataset_spec
from transforms.models.loading import load_models
from transforms.job_control.permit import Permit

config = load_config({config!r}, [], {{}})
models = load_models(list(config.models))
job = ExtractJob("gs://bucket/out/plan.arrow", config.output,
                 dataset_spec(config, models, ()),
                 permit=Permit("gs://my-bucket/job", "n", {{}}))
number = dataflow_runner.num_workers(config)
options = (*dataflow_runner.beam_options(config, "fsdsinet-1", number), *{flags!r})
built = dataflow_runner.build(job, options)
components = built.proto_pipeline.components
print(json.dumps({{
    "options": built.options.get_all_options(),
    "images": [str(e.payload) for e in components.environments.values()],
    "staged": [str(d.role_payload) for e in components.environments.values()
               for d in e.dependencies],
    "steps": [t.unique_name for t in components.transforms.values()],
    "shuffles": [t.unique_name for t in components.transforms.values()
                 if t.spec.urn == "beam:transform:group_by_key:v1"],
}}, default=str))
"""


def built_job(*flags: str, config: str = CONFIG) -> dict[str, Any]:
    done = run(BUILD.format(config=config, flags=flags))
    assert done.returncode == 0, done.stderr
    job: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return job


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """A job with a setup file; dry runs build jobs without one."""
    return built_job(f"--setup_file={ROOT / 'setup.py'}")


@needs_libraries
def test_job_has_image_threads_machines_and_no_session(job: dict[str, Any]) -> None:
    options = job["options"]
    (image,) = job["images"]
    assert "fsd-sinet-beam:0.1.0" in image
    assert options["sdk_container_image"].endswith("fsd-sinet-beam:0.1.0")
    assert options["number_of_worker_harness_threads"] == 1
    # Dataflow starts one process for every vCPU: 16 processes.
    assert (options["num_workers"], options["max_num_workers"]) == (4, 4)
    assert options["machine_type"] == "n2-standard-4"
    assert "no_use_multiple_sdk_containers" not in options["experiments"]
    assert options["temp_location"].startswith("gs://my-bucket/temporary")
    assert not any("main_session" in name for name in job["staged"])
    order = ["ReadManifest", "AdmitShards", "DecodeAudio", "ComputePatches",
             "RunModels", "CommitShard", "RunRecordings"]  # fmt: skip
    assert all(any(name in step for step in job["steps"]) for name in order)
    # Only manifest rows and segments of recordings are shuffled.
    shuffled = {name.partition("/Reshuffle")[0] for name in job["shuffles"]}
    assert shuffled == {"ReadManifest/Spread", "RunRecordings/SpreadSegments"}


@needs_libraries
@pytest.mark.torch
def test_job_with_gpus_has_an_accelerator_and_an_image_with_pytorch() -> None:
    pytest.importorskip("torch", reason="make torch installs PyTorch")
    job = built_job(config=GPU_CONFIG)
    (image,) = job["images"]
    assert image.count("fsd-sinet-beam:0.1.0-gpu") == 1
    options = job["options"]
    (service,) = options["dataflow_service_options"]
    accelerator = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    assert service == accelerator
    # One GPU for the processes of a machine, of which there is one for every vCPU.
    assert options["machine_type"] == "g2-standard-16"
    assert (options["num_workers"], options["number_of_worker_harness_threads"]) == (
        2,
        1,
    )


@needs_libraries
def test_package_is_staged_if_a_setup_file_is_given(job: dict[str, Any]) -> None:
    assert any("workflow.tar.gz" in name for name in job["staged"])


@needs_libraries
def test_dry_run_looks_at_the_bucket_and_builds_the_job() -> None:
    with running_google() as url:
        make_google_bucket(url, "results")
        arguments = command_line(
            "extract", "demo/manifest.csv", "--config", CONFIG, "--dry-run",
            "--output", "gs://results/new",
        )  # fmt: skip
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{LIBRARIES}:{ROOT}",
                "STORAGE_EMULATOR_HOST": url,
            },
        )
    assert done.returncode == 0, done.stderr
    assert "clips: 24, to do 24" in done.stdout
    assert "output: gs://results/new" in done.stdout
    assert "was built and is valid" in done.stdout
    assert "--num_workers=4" in done.stdout
    assert "nothing written to the output" in done.stdout


@needs_libraries
def test_dry_run_builds_the_job_where_the_bucket_cannot_be_reached() -> None:
    done = subprocess.run(
        command_line("extract", "--config", CONFIG, "--dry-run"),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{LIBRARIES}:{ROOT}",
            "STORAGE_EMULATOR_HOST": "http://localhost:9",
            "FSDSINET_ATTEMPTS": "1",
            "FSDSINET_TIMEOUT_S": "2",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "not checked: output gs://my-bucket/results" in done.stdout
    assert "was built and is valid" in done.stdout


def test_missing_libraries_are_named() -> None:
    code = "from pipeline.runners.dataflow import _require_libraries as r; r()"
    done = run(code, PYTHONPATH=str(ROOT))
    assert "install 'fsd-sinet-beam[dataflow]'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "settings", "problem"),
    [
        (("--project=",), {}, "Dataflow needs --project"),
        (
            ("--machine_type=large",),
            {},
            "expected a type that states its number of vCPUs",
        ),
        ((), {"output": "out/here"}, "need a bucket, gs://BUCKET/FOLDER"),
        (("--temp_location=gs://X/y",), {}, "temp_location is gs://X/y"),
        (
            ("--experiments=no_use_multiple_sdk_containers",),
            {},
            "a worker process for every vCPU",
        ),
    ],
)
def test_missing_and_wrong_options_are_refused(
    flags: tuple[str, ...], settings: dict[str, Any], problem: str
) -> None:
    config = config_with(*flags, **settings)
    with pytest.raises(ConfigError, match=problem):
        dataflow_runner.beam_options(config, "n", dataflow_runner.num_workers(config))


def test_number_of_machines_follows_from_the_number_of_processes() -> None:
    config = config_with(workers=10)
    number = dataflow_runner.num_workers(config)
    assert "--num_workers=3" in dataflow_runner.beam_options(config, "n", number)
    config = config_with(workers=None)
    assert dataflow_runner.num_workers(config) == 4
