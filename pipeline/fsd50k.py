"""The FSD50K dataset as published: folders of audio and CSV files of ground truth.

Layout (Fonseca et al., "FSD50K: an Open Dataset of Human-Labeled Sound Events"):
FSD50K.dev_audio/, FSD50K.eval_audio/ and FSD50K.ground_truth/{dev,eval}.csv with the
columns fname, labels, mids and, in dev.csv only, split (train or val).
"""

import io

import pyarrow as pa
import pyarrow.csv

from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

_SUBSETS = ("dev", "eval")


def is_root(folder: str) -> bool:
    """True if the folder holds audio of FSD50K under its published name."""
    return bool(_present(folder))


def read_manifest(root: str) -> pa.Table:
    """The clips of the subsets whose audio is there.

    Returns:
        clip_id (Freesound's id, equal to fname), uri, fname, split (train, val or
        eval) and labels (separated by commas, as published).

    Raises:
        ConfigError: if the ground truth of a subset is missing or unreadable.
    """
    return pa.concat_tables([_read_subset(root, subset) for subset in _present(root)])


def _present(root: str) -> list[str]:
    folders = {subset: _audio_folder(root, subset) for subset in _SUBSETS}
    return [name for name, uri in folders.items() if storage.look_up(uri) == "folder"]


def _audio_folder(root: str, subset: str) -> str:
    return storage.join(root, f"FSD50K.{subset}_audio")


def _read_subset(root: str, subset: str) -> pa.Table:
    path = storage.join(root, "FSD50K.ground_truth", f"{subset}.csv")
    columns = ["fname", "labels"] + (["split"] if subset == "dev" else [])
    try:
        table = pa.csv.read_csv(
            io.BytesIO(storage.read_file(path)),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
            ),
        )
    except (StorageError, pa.ArrowInvalid, KeyError) as error:
        raise ConfigError(
            f"cannot read FSD50K ground truth {path}: {error}; unpack "
            "FSD50K.ground_truth.zip into the root, or give the audio folder itself"
        ) from error
    folder = _audio_folder(root, subset)
    names = table["fname"]
    uris = [f"{folder}/{name}.wav" for name in names.to_pylist()]
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
