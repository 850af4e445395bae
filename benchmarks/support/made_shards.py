"""Shards and datasets that look like a run's, made without running a model."""

import dataclasses
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from pipeline.dataset.folder import Dataset
from transforms import storage
from transforms.elements import AudioInfo, PlannedShard, Prediction, Shard
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.manifest import PLAN_FIELDS, open_shard
from transforms.parquet import commit_shard
from transforms.schemas import DatasetSpec, part_name

FILE_S, PATCHES_A_FILE = 60, 121
_LABELS = tuple(f"label-{number}" for number in range(200))
MODEL = ModelSpec("made", "made.pb", "0" * 64, "x", "a", "e", _LABELS, 256)
SPEC = DatasetSpec((MODEL,), ("activations", "embeddings"), PatchSpec(), {})
# A disk allows no more than some ten thousand names of one file.
_NAMES_A_FILE = 1_000
_THREADS = 8


def planned_shard(uris: list[str]) -> Shard:
    """A shard of these files, as it comes from the plan."""
    names = ["clip_id", "uri", *(field.name for field in PLAN_FIELDS)]
    nothing = pa.nulls(len(uris), pa.string())
    ids = pa.array([f"clip-{number:05d}" for number in range(len(uris))])
    batch = pa.record_batch([ids, pa.array(uris), nothing, nothing], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return open_shard(PlannedShard("made", sink.getvalue().to_pybytes()))


def predicted_shard(num_files: int) -> Shard:
    """A shard of files of a minute with numbers as a network gives them."""
    rng = np.random.default_rng(0)
    shard = planned_shard([f"/audio/{number:07d}.wav" for number in range(num_files)])

    def predict() -> dict[str, Prediction]:
        scores = 1 / (1 + np.exp(4 - rng.standard_normal((PATCHES_A_FILE, 200))))
        vectors = rng.standard_normal((PATCHES_A_FILE, MODEL.embedding_size))
        pair = (scores, np.maximum(vectors, 0))
        return {MODEL.name: Prediction(*(x.astype(np.float32) for x in pair))}

    info = AudioInfo(float(FILE_S), 44_100, 1, "pcm_s16le")
    clips = tuple(
        dataclasses.replace(clip, info=info, predictions=predict())
        for clip in shard.clips
    )
    return dataclasses.replace(shard, clips=clips)


def write_dataset(root: str, num_shards: int) -> Dataset:
    """A dataset whose shards, of 15 minutes each, have a file in every table.

    Those of the patches, which a launcher lists and never reads, hold nothing.
    """
    dataset = Dataset(root)
    commit_shard(predicted_shard(15), root, SPEC)
    tables = ("ledger", f"clips/model={MODEL.name}", f"patches/model={MODEL.name}")
    for table in tables:
        first = dataset.file(table, part_name("made"))
        data = storage.read_file(first) if not table.startswith("patches") else b"x"
        storage.delete_file(first)
        names = [part_name(f"{number:07d}") for number in range(num_shards)]
        write_copies([dataset.file(table, name) for name in names], data)
    models = [{"name": MODEL.name, "path": "made.pb", "sha256": MODEL.sha256}]
    dataset.write_run({"state": "finished", "models": models})
    return dataset


def write_copies(uris: list[str], data: bytes) -> None:
    """The same content under many names; on a disk, most are links."""
    if storage.is_local(uris[0]):
        pathlib.Path(uris[0]).parent.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(uris), _NAMES_A_FILE):
            pathlib.Path(uris[start]).write_bytes(data)
            for uri in uris[start + 1 : start + _NAMES_A_FILE]:
                os.link(uris[start], uri)
        return

    def put(uri: str) -> None:
        with storage.publish(uri) as file:
            file.write(data)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(put, uris))
