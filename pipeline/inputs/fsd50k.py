"""Reads the FSD50K dataset as published: audio folders and ground truth in CSV files.

Layout (Fonseca et al., "FSD50K: an Open Dataset of Human-Labeled Sound Events"):
FSD50K.dev_audio/, FSD50K.eval_audio/ and FSD50K.ground_truth/{dev,eval}.csv with the
columns fname, labels, mids and, in dev.csv only, split (train or val). Labels are
separated by commas, have underscores for spaces and include all their parents.
FSD50K.ground_truth/vocabulary.csv has no header: index, label, mid.
"""

import csv
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

_SUBSETS = ("dev", "eval")
_GROUND_TRUTH = "FSD50K.ground_truth"
# Name of a split -> name of the CSV file that holds it.
SPLITS = {"train": "dev", "val": "dev", "dev": "dev", "eval": "eval"}


def is_root(folder: str) -> bool:
    """Whether the folder holds an audio folder with a published name of FSD50K."""
    return bool(_present(folder))


def read_manifest(root: str) -> pa.Table:
    """Lists the clips of the subsets whose audio folder exists.

    Returns:
        A table with the columns
        clip_id (Freesound's id, equal to fname), uri, fname, split (train, val or
        eval) and labels (separated by commas, as published).

    Raises:
        ConfigError: if the ground truth of a subset is missing or unreadable.
    """
    return pa.concat_tables([_read_subset(root, subset) for subset in _present(root)])


def has_ground_truth(folder: str) -> bool:
    """Whether the folder holds the ground truth of FSD50K; audio is not needed."""
    return storage.look_up(storage.join(folder, _GROUND_TRUTH)) == "folder"


def read_ground_truth(root: str, split: str) -> pa.Table:
    """Reads fname and labels (separated by commas, as published) of a split.

    Args:
        root: Folder that holds the published folders.
        split: One of SPLITS; dev is train and val together.

    Raises:
        ConfigError: if there is no such split, or its file is missing or unreadable.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"FSD50K has no split {split!r}: expected one of {', '.join(SPLITS)}"
        )
    table = _read_csv(root, SPLITS[split])
    if split in ("train", "val"):
        table = table.filter(pc.equal(table["split"], split))
    return table.select(["fname", "labels"])


def read_vocabulary(root: str) -> tuple[str, ...]:
    """Reads the labels of the vocabulary, as published.

    Raises:
        ConfigError: if the file is missing or not in the published format.
    """
    path = storage.join(root, _GROUND_TRUTH, "vocabulary.csv")
    try:
        text = storage.read_file(path).decode("utf-8")
        return tuple(label for _, label, _ in csv.reader(io.StringIO(text)))
    except (StorageError, ValueError) as error:
        problem = error.problem if isinstance(error, StorageError) else error
        raise ConfigError(
            f"cannot read FSD50K vocabulary {storage.shown(path)}: {problem}; expected "
            "lines of index, label and mid, as in FSD50K.ground_truth.zip"
        ) from error


def _present(root: str) -> list[str]:
    folders = {subset: _audio_folder(root, subset) for subset in _SUBSETS}
    return [name for name, uri in folders.items() if storage.look_up(uri) == "folder"]


def _audio_folder(root: str, subset: str) -> str:
    return storage.join(root, f"FSD50K.{subset}_audio")


def _read_csv(root: str, subset: str) -> pa.Table:
    """Reads fname, labels and, in dev.csv, split: all as text."""
    path = storage.join(root, _GROUND_TRUTH, f"{subset}.csv")
    columns = ["fname", "labels"] + (["split"] if subset == "dev" else [])
    try:
        return pa.csv.read_csv(
            storage.open_arrow(path),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
            ),
        )
    except (StorageError, pa.ArrowInvalid, KeyError) as error:
        problem = error.problem if isinstance(error, StorageError) else error
        raise ConfigError(
            f"cannot read FSD50K ground truth {storage.shown(path)}: {problem}; unpack "
            "FSD50K.ground_truth.zip into the root, or give the audio folder itself"
        ) from error


def _read_subset(root: str, subset: str) -> pa.Table:
    table = _read_csv(root, subset)
    folder = _audio_folder(root, subset)
    names = table["fname"]
    uris = [storage.in_utf8(f"{folder}/{name}.wav") for name in names.to_pylist()]
    splits = table["split"] if subset == "dev" else pa.array(["eval"] * len(names))
    return pa.table(
        {
            "clip_id": names,
            "uri": pa.array(uris, pa.string()),
            "fname": names,
            "split": splits,
            "labels": table["labels"],
        }
    )
