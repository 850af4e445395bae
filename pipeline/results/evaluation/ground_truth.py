"""Reads which labels clips have, from FSD50K's ground truth or a plain CSV file."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

from pipeline.errors import ConfigError
from pipeline.inputs import fsd50k
from transforms import storage

_NAME_COLUMNS = ("clip_id", "fname")


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The labels of clips.

    Attributes:
        source: Folder or file, as shown in messages.
        split: Split that was read; None for all rows of a CSV file.
        labels: Name of a clip -> its labels. A label that is not listed counts as
            absent from the clip.
        vocabulary: Labels to score; None if the source does not state them.
        is_fsd50k: Whether this is FSD50K, for which scores are published.
    """

    source: str
    split: str | None
    labels: dict[str, tuple[str, ...]]
    vocabulary: tuple[str, ...] | None = None
    is_fsd50k: bool = False


def read_ground_truth(source: str, split: str | None) -> GroundTruth:
    """Reads a ground truth.

    Args:
        source: An FSD50K root, or a CSV file with the columns clip_id or fname,
            labels (separated by commas) and, if it has splits, split.
        split: For FSD50K train, val, dev or eval (the default); for a CSV file a value
            of its column split, or None for all rows.

    Raises:
        ConfigError: if the source cannot be read, or has no clips.
    """
    try:
        uri = storage.absolute(source)
        found = storage.look_up(uri)
        is_fsd50k = fsd50k.has_ground_truth(uri)
    except (storage.StorageError, ValueError) as error:
        raise ConfigError(f"cannot read ground truth {error}") from error
    if is_fsd50k:
        truth = _read_fsd50k(uri, split or "eval")
    elif found == "folder":
        raise ConfigError(
            f"ground truth {source} is a folder without FSD50K.ground_truth; expected "
            "the root of FSD50K or a CSV file"
        )
    else:
        truth = GroundTruth(storage.shown(source), split, _read_csv(uri, split))
    if not truth.labels:
        missing = "no rows" if split is None else f"no clip with split {split!r}"
        raise ConfigError(f"ground truth {source} has {missing}")
    return truth


def same_spelling(label: str) -> str:
    """Returns a label as the models' metadata spells it.

    FSD50K writes underscores where the metadata has spaces.
    """
    return label.strip().replace("_", " ")


def class_indices(truth: GroundTruth, labels: Sequence[str], model: str) -> list[int]:
    """Returns the indexes of the model's classes to score, in the model's order.

    These are the classes of the vocabulary, or all if the ground truth has none.

    Raises:
        ConfigError: if the ground truth has a label that the model does not know.
    """
    known = [same_spelling(label) for label in labels]
    stated = (
        None if truth.vocabulary is None else {*map(same_spelling, truth.vocabulary)}
    )
    used = {same_spelling(x) for found in truth.labels.values() for x in found}
    for wanted, what in ((stated or set(), "vocabulary"), (used, "ground truth")):
        unknown = sorted(wanted - set(known))
        if unknown:
            shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            raise ConfigError(
                f"model {model} does not know {len(unknown):,} of the {len(wanted):,} "
                f"labels of the {what} {truth.source}: {shown}; it knows {len(known)} "
                f"labels, such as {', '.join(known[:3])}"
            )
    return [i for i, label in enumerate(known) if stated is None or label in stated]


def _read_fsd50k(root: str, split: str) -> GroundTruth:
    table = fsd50k.read_ground_truth(root, split)
    rows = zip(table["fname"].to_pylist(), table["labels"].to_pylist(), strict=True)
    labels = _by_name(rows, f"FSD50K ground truth {storage.shown(root)}")
    return GroundTruth(
        storage.shown(root), split, labels, fsd50k.read_vocabulary(root), is_fsd50k=True
    )


def _read_csv(uri: str, split: str | None) -> dict[str, tuple[str, ...]]:
    path = storage.shown(uri)
    try:
        text = storage.read_file(uri).decode("utf-8-sig")
        with io.StringIO(text, newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            found = [name for name in _NAME_COLUMNS if name in names]
            if not found or "labels" not in names:
                raise ConfigError(
                    f"ground truth {path} has the columns {', '.join(names) or 'none'};"
                    " expected clip_id or fname, and labels"
                )
            if split is not None and "split" not in names:
                raise ConfigError(
                    f"ground truth {path} has no column split; leave out --split"
                )
            chosen = (row for row in reader if split in (None, row.get("split")))
            rows = ((row[found[0]], row["labels"]) for row in chosen)
            return _by_name(rows, f"ground truth {path}")
    except storage.StorageError as error:
        raise ConfigError(f"cannot read ground truth {error}") from error
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"cannot read ground truth {path}: {error}") from error


def _by_name(
    rows: Iterator[tuple[str | None, str | None]], source: str
) -> dict[str, tuple[str, ...]]:
    labels: dict[str, tuple[str, ...]] = {}
    for name, text in rows:
        if not name or text is None:
            raise ConfigError(
                f"{source} has a row without a name or labels ({name!r}, {text!r}); "
                "complete or remove it"
            )
        if name in labels:
            raise ConfigError(
                f"{source} has clip {name!r} twice; write all its labels in one row"
            )
        labels[name] = tuple(x.strip() for x in text.split(",") if x.strip())
    return labels
