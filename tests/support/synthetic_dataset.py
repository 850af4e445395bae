"""Writes a dataset of any size without audio or model, for the report and its tests.

    python -m tests.support.synthetic_dataset OUT NUM_CLIPS [EMBEDDING_SIZE]

Each clip belongs to one class, on which its scores and embeddings depend. Some clips
fail or have flags. The code of the pipeline writes the files.
"""

import pathlib
import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.dataset.folder import Dataset
from pipeline.dataset.summary import dataset_totals
from transforms.elements import AudioInfo, Clip, Failure, Prediction, Shard
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.manifest import PLAN_FIELDS, manifest_rows
from transforms.models.registry import published_labels
from transforms.parquet import commit_shard
from transforms.schemas import DEFAULT_OUTPUTS, DatasetSpec

SHARD_CLIPS = 64
_FLAGS = ((), (), (), (), (), (), ("short",), ("clipped", "multichannel"))


def write_synthetic_dataset(
    output: pathlib.Path,
    num_clips: int,
    *,
    embedding_size: int = 64,
    models: Sequence[str] = ("synthetic",),
    outputs: Sequence[str] = DEFAULT_OUTPUTS,
    names: Sequence[str] = (),
    labels: Sequence[str] = (),
    state: str = "finished",
    num_planned: int | None = None,
    failing: float = 0.02,
    folder: str = "/sounds",
) -> Dataset:
    """Writes a dataset.

    Args:
        output: Folder to create.
        num_clips: Number of rows of the ledger.
        embedding_size: Size of the embeddings of all models.
        models: Names of the models.
        outputs: Outputs that are stored for every patch.
        names: clip_ids of the first clips, also their file names. The first of them
            belongs to the first class, and so on.
        labels: Names of the first classes.
        state: State of the run in run.json.
        num_planned: Number of rows of the manifest; None for `num_clips`.
        failing: Share of the clips that fail.
        folder: Folder of the clips in `names`; the uris of other clips are in folders
            below it.
    """
    classes = (*labels, *published_labels()[len(labels) :])
    specs = tuple(
        ModelSpec(name, "", "0" * 64, "x", "y", "z", classes, embedding_size)
        for name in models
    )
    spec = DatasetSpec(specs, tuple(outputs), PatchSpec(), {"numpy": np.__version__})
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(classes), embedding_size))
    for begin in range(0, num_clips, SHARD_CLIPS):
        rows = range(begin, min(begin + SHARD_CLIPS, num_clips))
        clips = tuple(
            _clip(row, names, folder, spec, centres, failing, rng) for row in rows
        )
        shard = Shard(f"{begin:08d}", clips, manifest_rows(_manifest(clips)))
        commit_shard(shard, str(output), spec)
    output.mkdir(exist_ok=True)
    dataset = Dataset(str(output))
    dataset.write_run(_run(dataset, spec, state, num_planned or num_clips))
    return dataset


def _clip(
    row: int,
    names: Sequence[str],
    folder: str,
    spec: DatasetSpec,
    centres: np.ndarray,
    failing: float,
    rng: np.random.Generator,
) -> Clip:
    clip_id = names[row] if row < len(names) else f"clip-{row:06d}"
    below = "" if row < len(names) else f"/folder {row % 40}"
    uri = f"{folder}{below}/{clip_id}.wav"
    if row >= len(names) and rng.random() < failing:
        failure = Failure("decode", "not_audio", f"cannot decode clip {clip_id}")
        return Clip(clip_id, uri, failure=failure)
    # Most clips are short, a few are long. Classes differ in size as in FSD50K.
    num_patches = 1 + int(rng.exponential(12) if rng.random() < 0.99 else 900)
    main = min(int(rng.exponential(len(centres) / 4)), len(centres) - 1)
    main = row if row < len(names) else main
    scores = rng.beta(0.3, 12, (num_patches, len(centres))).astype(np.float32)
    scores[:, main] = rng.beta(4, 2, num_patches)
    embeddings = centres[main] + rng.normal(size=(num_patches, centres.shape[1])) * 0.4
    embeddings += rng.normal(size=centres.shape[1]) * 0.5
    prediction = Prediction(scores, embeddings.astype(np.float32))
    return Clip(
        clip_id,
        uri,
        AudioInfo(num_patches * 0.5, 44100, 1, "pcm_s16le"),
        _FLAGS[row % len(_FLAGS)] if row >= len(names) else (),
        predictions={model.name: prediction for model in spec.models},
    )


def _manifest(clips: Sequence[Clip]) -> bytes:
    columns = {"clip_id": [c.clip_id for c in clips], "uri": [c.uri for c in clips]}
    nothing = {field.name: [None] * len(clips) for field in PLAN_FIELDS}
    batch = pa.RecordBatch.from_pydict({**columns, **nothing})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _run(
    dataset: Dataset, spec: DatasetSpec, state: str, num_planned: int
) -> dict[str, object]:
    """Returns the content of run.json, as far as readers use it."""
    finished = "2026-01-01T00:30:00+00:00" if state == "finished" else None
    return {
        "state": state,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": finished,
        "identity": {"engines": {model.name: model.engine for model in spec.models}},
        "config": {
            "inputs": ["/sounds"],
            "patch_hop": spec.patch_spec.patch_hop,
            "last_patch": spec.patch_spec.last_patch,
            "outputs": list(spec.outputs),
        },
        "manifest": {"num_clips": num_planned},
        "models": [
            {
                "name": model.name,
                "sha256": model.sha256,
                "num_classes": len(model.labels),
                "embedding_size": model.embedding_size,
            }
            for model in spec.models
        ],
        "versions": dict(spec.versions),
        "num_workers": 2,
        "counters": {"clips": dataset_totals(dataset)["clips"]} if finished else {},
    }


if __name__ == "__main__":
    write_synthetic_dataset(
        pathlib.Path(sys.argv[1]),
        int(sys.argv[2]),
        embedding_size=int(sys.argv[3]) if len(sys.argv) > 3 else 64,
    )
