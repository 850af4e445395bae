"""Workers write only while their job has the permit of the dataset."""

import importlib.metadata
import pathlib
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError
from pipeline.launch.cluster_jobs import check_no_job, job_command
from pipeline.runners import job_folder
from pipeline.runners.job_folder import JobFolder, JobNote
from tests.support.shards import FAILED, planned_shard, run_transform
from transforms.elements import Clip, Shard
from transforms.front_end.patches import PatchSpec
from transforms.job_control.deaths import given_up, note_death, note_timeout
from transforms.job_control.permit import (
    AdmitShards,
    Permit,
    PermitError,
    admit_shard,
    check_versions,
)
from transforms.manifest import manifest_rows
from transforms.models.loading import load_model
from transforms.parquet import commit_shard
from transforms.schemas import DatasetSpec, part_name

PACKAGES = ("fsd-sinet-beam", "apache-beam", "essentia-tensorflow", "av")
VERSIONS = {name: importlib.metadata.version(name) for name in PACKAGES}
NOTE = JobNote("job-1", "flink", "http://localhost:9")


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> Dataset:
    dataset = Dataset(str(tmp_path / "out"))
    dataset.write_run({"state": "running", "manifest": {"num_clips": 2}, "models": []})
    return dataset


@pytest.fixture
def permit(dataset: Dataset) -> Permit:
    return JobFolder(dataset).begin(NOTE, VERSIONS)


@pytest.fixture
def shard(tmp_path: pathlib.Path) -> Shard:
    planned = planned_shard(["a", "bad"], tmp_path)
    clips = (Clip("a", "a.wav", failure=FAILED.failure), FAILED)
    return Shard(planned.shard_id, clips, manifest_rows(planned.manifest))


def admitted(dataset: Dataset, permit: Permit, shard: Shard) -> list[Shard]:
    return list(admit_shard(shard, dataset.root, permit))


def test_shards_pass_while_the_job_is_active(
    dataset: Dataset, permit: Permit, shard: Shard
) -> None:
    assert admitted(dataset, permit, shard) == [shard]


def test_a_committed_shard_is_skipped(
    dataset: Dataset, permit: Permit, shard: Shard
) -> None:
    ledger = pathlib.Path(dataset.root, "ledger", part_name(shard.shard_id))
    ledger.parent.mkdir()
    pq.write_table(pa.table({"clip_id": ["a", "bad"]}), ledger)

    def check(found: list[Shard]) -> None:
        assert found == []

    counters = run_transform(AdmitShards(dataset.root, permit), shard, check)
    assert counters == {"shards_skipped": 1}
    assert admitted(dataset, permit, shard) == []


def test_a_recording_that_is_not_in_the_ledger_file_of_its_shard_passes_alone(
    dataset: Dataset, permit: Permit, shard: Shard
) -> None:
    ledger = pathlib.Path(dataset.root, "ledger")
    ledger.mkdir()
    rows = pa.table({"clip_id": ["bad"]})
    pq.write_table(rows, ledger / part_name(shard.shard_id))
    (alone,) = admitted(dataset, permit, shard)
    assert alone.clips == shard.clips[:1]
    assert alone.rows is not None and alone.rows["clip_id"].to_pylist() == ["a"]
    pq.write_table(rows, ledger / part_name(alone.shard_id))
    assert admitted(dataset, permit, shard) == []


def test_nothing_is_committed_after_the_job_was_stopped(
    dataset: Dataset, permit: Permit, shard: Shard, tiny_model: pathlib.Path
) -> None:
    fields = (pa.field("take", pa.int64()),)
    models = (load_model(str(tiny_model)),)
    spec = DatasetSpec(models, ("activations",), PatchSpec(), {}, fields)
    JobFolder(dataset).revoke()
    with pytest.raises(PermitError, match="job-1 was stopped"):
        commit_shard(shard, dataset.root, spec, permit)
    assert dataset.parts("ledger") == []
    JobFolder(dataset).begin(NOTE, VERSIONS)
    commit_shard(shard, dataset.root, spec, permit)
    assert len(dataset.parts("ledger")) == 1


def test_a_worker_that_cannot_read_the_output_reports_it(
    tmp_path: pathlib.Path,
) -> None:
    elsewhere = Permit(str(tmp_path / "job"), "job-1", VERSIONS)
    with pytest.raises(PermitError, match="a disk that they share with the launcher"):
        elsewhere.check()


def test_a_worker_with_another_version_reports_it() -> None:
    check_versions(VERSIONS)
    with pytest.raises(PermitError, match=r"has av .*, the launcher 0\.1: install"):
        check_versions({**VERSIONS, "av": "0.1"})


def test_a_clip_is_given_up_at_its_second_death(
    dataset: Dataset, permit: Permit
) -> None:
    note_death(permit.folder, "a", "killed")
    note_death(permit.folder, "b", "killed")
    assert given_up(permit.folder) == {}
    note_death(permit.folder, "a", "ended by SIGSEGV")
    assert list(given_up(permit.folder)) == ["a"]
    shard = Shard("s", (Clip("a", "a.wav"), Clip("c", "c.wav")))
    (found,) = admitted(dataset, permit, shard)
    assert found.clips[1] == shard.clips[1]
    failure = found.clips[0].failure
    assert failure and failure.error_type == "worker_died"
    assert "died 2 times while working on clip a" in failure.message


def test_a_clip_over_its_time_limit_is_given_up_at_once(
    dataset: Dataset, permit: Permit
) -> None:
    note_timeout(permit.folder, "a", 1801)
    shard = Shard("s", (Clip("a", "a.wav"), Clip("c", "c.wav")))
    (found,) = admitted(dataset, permit, shard)
    assert found.clips[1] == shard.clips[1]
    failure = found.clips[0].failure
    assert failure and (failure.stage, failure.error_type) == ("worker", "timeout")
    assert "within 1,801 s" in failure.message and "--clip-timeout" in failure.message


def test_workers_of_a_failed_job_are_awaited_once(
    dataset: Dataset, permit: Permit, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(time=lambda: 1000.0, sleep=waits.append)
    monkeypatch.setattr(job_folder, "time", clock)
    note_death(permit.folder, "a", "killed")
    folder = JobFolder(dataset)
    folder.settle()
    assert waits == [5.0]
    assert folder.note() is None
    folder.settle()
    assert len(waits) == 1
    # The note of the death stays until a run succeeds.
    assert len(list(pathlib.Path(permit.folder, "deaths").iterdir())) == 1
    folder.remove()
    assert not pathlib.Path(permit.folder).exists()


def test_graphs_are_copied_to_the_output(
    dataset: Dataset, tiny_model: pathlib.Path
) -> None:
    model = load_model(str(tiny_model))
    (placed,) = JobFolder(dataset).place_models((model,))
    assert placed.graph_path.startswith(dataset.root)
    assert placed.graph_file().read_bytes() == tiny_model.read_bytes()


def test_a_job_whose_cluster_does_not_answer_can_be_forgotten(
    dataset: Dataset, permit: Permit, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="no Flink answers(.|\n)*--forget"):
        check_no_job(dataset)
    assert job_command(dataset.root, wait=False, stop=False, forget=True) == 0
    check_no_job(dataset)
    assert "forgotten" in capsys.readouterr().out
    with pytest.raises(PermitError):
        permit.check()
    assert job_command(dataset.root, wait=False, stop=False, forget=False) == 0
    assert "no job is writing" in capsys.readouterr().out


def test_a_job_on_dataflow_must_be_checked_by_the_user(dataset: Dataset) -> None:
    JobFolder(dataset).begin(JobNote("job-2", "dataflow", "project, region"), VERSIONS)
    with pytest.raises(
        ConfigError,
        match=r"in the Cloud console \(project, region\) whether the job has ended",
    ):
        check_no_job(dataset)
