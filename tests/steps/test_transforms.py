"""Each transform runs alone in a pipeline."""

import contextlib
import dataclasses
import io
import pathlib
import pickle
from collections.abc import Iterator
from typing import BinaryIO

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

from pipeline.launch.plan import write_plan
from tests.support.audio_files import make_wav, signal
from tests.support.shards import FAILED, plan_of, planned_shard, run_transform
from transforms.audio import DecodeAudio
from transforms.elements import (
    AudioInfo,
    Clip,
    Failure,
    Prediction,
    Shard,
    ShardSummary,
)
from transforms.features import ComputePatches, compute_shard_patches
from transforms.front_end.patches import PatchSpec
from transforms.inference import RunModels
from transforms.job_control.counters import count, our_counters
from transforms.job_control.lanes import Lanes
from transforms.manifest import ReadManifest, manifest_rows, open_shard
from transforms.models.loading import load_model
from transforms.parquet import CommitShard
from transforms.schemas import DatasetSpec
from transforms.storage import publish


def only(shards: list[Shard]) -> Shard:
    assert len(shards) == 1, shards
    return shards[0]


@pytest.mark.parametrize("num_lanes", [0, 1, 3])
def test_read_manifest_emits_every_row_once(
    tmp_path: pathlib.Path, num_lanes: int
) -> None:
    ids = [f"clip {i}" for i in range(10)]
    table = pa.table({"clip_id": ids, "uri": [f"/a/{i}" for i in ids]})
    path = str(tmp_path / "plan.arrow")
    failure = Failure("worker", "worker_died", "it killed a worker")
    write_plan(plan_of(table, 3), path, {"clip 4": failure})

    def check(shards: list[Shard]) -> None:
        assert sorted(len(shard.clips) for shard in shards) == [1, 3, 3, 3]
        assert len({shard.shard_id for shard in shards}) == 4
        clips = {clip.clip_id: clip for shard in shards for clip in shard.clips}
        assert sorted(clips) == sorted(ids)
        failures = {key: c.failure for key, c in clips.items() if c.failure}
        assert failures == {"clip 4": failure}

    lanes = Lanes(num_lanes, str(tmp_path)) if num_lanes else None
    with TestPipeline(runner="FnApiRunner") as pipeline:
        assert_that(pipeline | beam.Create([path]) | ReadManifest(lanes), check)


def test_only_manifest_rows_cross_the_shuffle(tmp_path: pathlib.Path) -> None:
    planned = planned_shard([f"clip {i}" for i in range(64)], tmp_path)
    assert len(pickle.dumps(planned)) < 8000
    assert open_shard(planned).clips[3] == Clip("clip 3", "clip 3.wav")


def test_decode_audio_fills_waveforms_and_keeps_failures(
    tmp_path: pathlib.Path,
) -> None:
    good = make_wav(tmp_path / "good.wav", 44100, 44100)
    clips = (Clip("good", str(good)), Clip("none", "/no/such.wav"), FAILED)

    def check(shards: list[Shard]) -> None:
        decoded, missing, failed = only(shards).clips
        assert decoded.info == AudioInfo(1.0, 44100, 1, "pcm_s16le")
        assert decoded.waveform is not None and len(decoded.waveform) > 22000
        assert missing.failure is not None
        assert missing.failure.error_type == "not_found"
        assert failed == FAILED

    counters = run_transform(DecodeAudio(), Shard("s", clips), check)
    assert counters["decode_us"] > 0 and counters["resample_us"] > 0


def test_compute_patches_replaces_waveforms() -> None:
    info = AudioInfo(2.0, 22050, 1, "x")
    clip = Clip("a", "a.wav", info, (), signal(44100, 22050)[0])

    def check(shards: list[Shard]) -> None:
        computed, failed = only(shards).clips
        assert computed.waveform is None
        assert computed.patches is not None and computed.patches.shape == (4, 101, 96)
        assert failed == FAILED

    transform = ComputePatches(PatchSpec())
    counters = run_transform(transform, Shard("s", (clip, FAILED)), check)
    assert counters["log_mel_us"] > 0


def test_run_models_runs_every_model(tiny_model: pathlib.Path) -> None:
    models = (load_model(str(tiny_model)), load_model("tests/data/random-tiny-aps.pb"))
    info = AudioInfo(2.0, 22050, 1, "x")
    clip = Clip("a", "a.wav", info, (), signal(44100, 22050)[0])
    shard = compute_shard_patches(Shard("s", (clip, FAILED)), PatchSpec())

    def check(shards: list[Shard]) -> None:
        predicted, failed = only(shards).clips
        assert predicted.patches is None and predicted.predictions is not None
        assert list(predicted.predictions) == [model.name for model in models]
        for prediction in predicted.predictions.values():
            assert prediction.activations.shape == (4, 200)
            assert prediction.embeddings.shape == (4, 32)
        assert failed == FAILED

    counters = run_transform(RunModels(models), shard, check)
    assert counters["model_loads"] == 2 and counters["inference_us"] > 0
    assert counters["num_inferences"] == 1
    # Outcomes are counted where they are committed.
    assert "clips" not in counters


def test_what_several_steps_count_is_added() -> None:
    def counting(number: int) -> int:
        count("things", number)
        return number

    with TestPipeline(runner="FnApiRunner") as pipeline:
        numbers = pipeline | beam.Create([3, 4])
        numbers | "Clips" >> beam.Map(counting) | "Recordings" >> beam.Map(counting)
    assert our_counters(pipeline.result) == {"things": 14}


def test_a_model_with_another_output_size_stops_the_run(
    tiny_model: pathlib.Path,
) -> None:
    spec = dataclasses.replace(load_model(str(tiny_model)), embedding_size=99)
    info = AudioInfo(2.0, 22050, 1, "x")
    clip = Clip("a", "a.wav", info, (), signal(44100, 22050)[0])
    shard = compute_shard_patches(Shard("s", (clip,)), PatchSpec())
    with pytest.raises(Exception, match="expected 99 values a patch"):
        run_transform(RunModels((spec,)), shard, lambda shards: None)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[pathlib.Path]:
    """Files that CommitShard has published, in order."""
    paths: list[pathlib.Path] = []

    @contextlib.contextmanager
    def recorded(uri: str) -> Iterator[BinaryIO]:
        with publish(uri) as file:
            yield file
        paths.append(pathlib.Path(uri))

    monkeypatch.setattr("transforms.tables.publish", recorded)
    return paths


def test_commit_shard_writes_the_ledger_last(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, published: list[pathlib.Path]
) -> None:
    model = load_model(str(tiny_model))
    planned = planned_shard(["a", "bad"], tmp_path)
    rng = np.random.default_rng(0)
    prediction = Prediction(
        rng.random((3, 200), np.float32), rng.random((3, 32), np.float32)
    )
    info = AudioInfo(2.0, 22050, 1, "x")
    clip = Clip("a", "a.wav", info, ("short",), predictions={model.name: prediction})
    shard = Shard(planned.shard_id, (clip, FAILED), manifest_rows(planned.manifest))
    output = tmp_path / "out"
    fields = (pa.field("take", pa.int64()),)
    spec = DatasetSpec((model,), ("activations",), PatchSpec(), {}, fields)

    def check(summaries: list[ShardSummary]) -> None:
        assert summaries == [ShardSummary(planned.shard_id, 1, 1, 3)]

    counters = run_transform(CommitShard(str(output), spec), shard, check)
    assert counters["commit_us"] > 0
    assert counters["clips"] == 2 and counters["patches"] == 3
    assert counters["clips_ok"] == counters["clips_failed_empty"] == 1
    places = [path.relative_to(output).parts[0] for path in published]
    assert places == ["patches", "clips", "ledger"]
    assert sorted(output.rglob("*.parquet")) == sorted(published)
    assert {path.name for path in published} == {f"part-{planned.shard_id}.parquet"}
    assert not [path for path in output.rglob("*") if path.name.startswith(".")]


def test_a_failed_write_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(io.UnsupportedOperation), publish(str(tmp_path / "a")) as file:
        file.write(b"half")
        raise io.UnsupportedOperation
    assert not list(tmp_path.iterdir())
