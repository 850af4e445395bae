"""Writes a dataset with given results, with the code that commits a run's results."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dataset.folder import Dataset
from pipeline.launch.plan import write_plan
from tests.support.shards import plan_of, with_files
from transforms.elements import AudioInfo, ClipError, Prediction, Shard
from transforms.engines.contract import ModelSpec
from transforms.events.settings import EventSettings
from transforms.front_end.patches import FRONT_END_VERSION, PatchSpec
from transforms.manifest import open_shard, read_planned_shards
from transforms.parquet import commit_shard
from transforms.schemas import LEDGER_FIELDS, DatasetSpec
from transforms.storage import FileInfo

SHA256 = "0" * 64
LEDGER_NAMES = frozenset(field.name for field in LEDGER_FIELDS)


def scored(activations: object, embedding: object = (1.0, 0.0)) -> Prediction:
    """Returns the results of a clip; nested lists give several patches."""
    return Prediction(
        np.atleast_2d(np.array(activations, np.float32)),
        np.atleast_2d(np.array(embedding, np.float32)),
    )


def make_dataset(
    folder: pathlib.Path,
    results: Mapping[str, Prediction | None],
    labels: Sequence[str],
    columns: Mapping[str, Sequence[object]] | None = None,
    model: str = "made",
    outputs: tuple[str, ...] = ("activations", "embeddings"),
    shard_clips: int = 3,
    state: str = "finished",
    files: Mapping[str, FileInfo | None] | None = None,
    uris: Sequence[str] = (),
    events: EventSettings | None = None,
) -> pathlib.Path:
    """Writes a dataset of one model.

    Args:
        folder: Folder to create.
        results: clip_id -> results; None for a clip that has failed.
        labels: Labels of the model.
        columns: Columns of the manifest beside clip_id and uri.
        model: Name of the model.
        outputs: Outputs that are stored for every patch.
        shard_clips: Number of clips in a shard.
        state: State of the run in run.json.
        files: Sizes and times of files, by uri; the file of clip x is /audio/x.wav.
        uris: Uris of the clips; by default each has a file of its own.
        events: What counts as an event, if `events` is one of the outputs.

    Returns:
        The folder.
    """
    some = next(result for result in results.values() if result is not None)
    size = some.embeddings.shape[1]
    spec = ModelSpec(model, "gone.pb", SHA256, "x", "a", "e", tuple(labels), size)
    manifest = pa.table(
        {
            "clip_id": [*results],
            "uri": [*uris] or [f"/audio/{clip_id}.wav" for clip_id in results],
            **(columns or {}),
        }
    )
    fields = tuple(f for f in manifest.schema if f.name not in LEDGER_NAMES)
    dataset = DatasetSpec((spec,), outputs, PatchSpec(), {}, fields, events)
    folder.mkdir(parents=True)
    plan_path = str(folder / "plan.arrow")
    rows = with_files(manifest, files or {})
    write_plan(plan_of(rows, shard_clips), plan_path, {})
    for planned in read_planned_shards(plan_path):
        commit_shard(_filled(open_shard(planned), results, model), str(folder), dataset)
    (folder / "plan.arrow").unlink()
    run = _run(spec, outputs, len(results), state)
    run["identity"]["excerpts"] = dataset.has_excerpts
    if events:
        run["identity"]["events"] = dataclasses.asdict(events)
    Dataset(str(folder)).write_run(run)
    return folder


def _filled(
    shard: Shard, results: Mapping[str, Prediction | None], model: str
) -> Shard:
    clips = []
    for clip in shard.clips:
        result = results[clip.clip_id]
        if result is None:
            error = ClipError("decode", "not_audio", "not audio, for this test")
            clips.append(clip.failed(error))
        else:
            duration_s = 1.0 + 0.5 * (len(result.activations) - 1)
            info = AudioInfo(duration_s, 44100, 1, "pcm_s16le")
            clips.append(
                dataclasses.replace(clip, info=info, predictions={model: result})
            )
    return dataclasses.replace(shard, clips=tuple(clips))


def _run(
    spec: ModelSpec, outputs: tuple[str, ...], num_clips: int, state: str
) -> dict[str, Any]:
    return {
        "state": state,
        "started": "2024-01-01T00:00:00+00:00",
        "identity": {
            "engines": {spec.name: "essentia"},
            "patch_hop": 50,
            "last_patch": "repeat",
            "front_end_version": FRONT_END_VERSION,
        },
        "config": {
            "inputs": ["m.csv"],
            "models": [spec.graph_path],
            "outputs": [*outputs],
            "patch_hop": 50,
            "last_patch": "repeat",
        },
        "manifest": {"num_clips": num_clips},
        "models": [
            {
                "name": spec.name,
                "path": spec.graph_path,
                "sha256": spec.sha256,
                "num_classes": len(spec.labels),
                "embedding_size": spec.embedding_size,
            }
        ],
        "num_workers": 1,
        "versions": {},
    }
