"""Datasets to compact, and readers that compare them at every moment."""

import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from tests.support.made_dataset import make_dataset, scored
from transforms import storage

TABLES = ("ledger", "patches", "clips")
FOLDERS = ("ledger", "patches/model=made", "clips/model=made")
Tables = dict[str, pa.Table]
ROW_ORDER = ("clip_id", "patch")


def make_small_parts(
    folder: pathlib.Path, num_clips: int, num_values: int = 3, shard_clips: int = 3
) -> Dataset:
    """A dataset of small shards, in which every seventh clip has failed.

    Args:
        folder: Folder to create.
        num_clips: Number of clips.
        num_values: Numbers of an embedding, which are random.
        shard_clips: Number of clips in a shard.
    """
    rng = np.random.default_rng(0)
    results = {}
    for index in range(num_clips):
        num_patches = 1 + index % 4
        scores = rng.random((num_patches, 2), np.float32)
        embedding = rng.random((num_patches, num_values), np.float32)
        results[f"clip-{index:04d}"] = scored(scores, embedding) if index % 7 else None
    columns = {"split": ["train" if index % 2 else "val" for index in range(num_clips)]}
    make_dataset(folder, results, ["Bell", "Bark"], columns, shard_clips=shard_clips)
    return Dataset(str(folder))


def read_snapshot(snapshot: Snapshot) -> Tables:
    """All tables as a snapshot reads them, in ROW_ORDER."""
    return {
        table: in_order(pa.Table.from_batches(snapshot.batches(table)))
        for table in TABLES
    }


def read_plainly(root: str) -> Tables:
    """All tables as a reader sees them that knows nothing of this program."""
    folders = zip(TABLES, FOLDERS, strict=True)
    return {t: in_order(ds.dataset(f"{root}/{f}").to_table()) for t, f in folders}


def in_order(table: pa.Table) -> pa.Table:
    keys = [(name, "ascending") for name in ROW_ORDER if name in table.schema.names]
    return table.sort_by(keys).replace_schema_metadata().combine_chunks()


def assert_same_tables(one: Tables, other: Tables) -> None:
    for table in TABLES:
        assert one[table].equals(other[table]), table


def copy_dataset(made: str, to: str) -> str:
    """Copies a dataset from a disk to a disk or a bucket; returns its place."""
    if storage.is_local(to):
        return str(shutil.copytree(made, to))
    for info in storage.list_files(made, recursive=True):
        with storage.publish(to + info.uri[len(made) :]) as file:
            file.write(storage.read_file(info.uri))
    return to
