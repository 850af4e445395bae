"""Measures how much the results of clips change when they are shifted."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import DatasetError
from pipeline.inputs.shifts import OFFSET_MS, SHIFT_OF

FloatArray = npt.NDArray[np.floating]
# `Changes.measures` explains them.
MEASURES = (
    *("consistency", "mean_change", "largest_change"),
    *("embedding_change", "embedding_cosine_distance"),
)
_UNSHIFTED = 0.0
_COLUMNS = ("activations_mean", "embedding_mean")


@dataclasses.dataclass(frozen=True)
class ShiftedClips:
    """The clips of which all versions have results.

    Attributes:
        clip_ids: The clips.
        offsets: Offsets of the versions; the first one is 0, the unshifted version.
        places: clip_id of a version -> index of its clip and of its offset.
        left_out: Reason why a clip is left out -> clip_ids.
        unit: Unit of the offsets: ms, or mel bins (up if positive).
    """

    clip_ids: tuple[str, ...]
    offsets: tuple[float, ...]
    places: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, tuple[str, ...]]
    unit: Literal["ms", "bins"] = "ms"


@dataclasses.dataclass(frozen=True)
class Changes:
    """The results of all versions by one model.

    Attributes:
        model: Name of the model.
        labels: Names of the classes.
        clips: The clips.
        activations: float32 [num_clips, 1 + num_offsets, num_classes], means over the
            patches of a version.
        measures: What a shift changes, float64 [num_clips, num_offsets] each:
            `consistency` is 1 if the top label stays the same, else 0; `mean_change`
            and `largest_change` are those of the activations over all classes;
            `embedding_change` is relative to the norm of the unshifted embedding;
            `embedding_cosine_distance` is 1 minus the cosine.
    """

    model: str
    labels: tuple[str, ...]
    clips: ShiftedClips
    activations: FloatArray
    measures: Mapping[str, FloatArray]

    @property
    def top_labels(self) -> list[str]:
        """The top label of each clip, unshifted."""
        return [self.labels[i] for i in self.activations[:, 0].argmax(axis=1)]


def measure_changes(
    activations: FloatArray, embeddings: FloatArray
) -> dict[str, FloatArray]:
    """Compares versions of clips with the first version of each.

    Args:
        activations: [num_clips, num_versions, num_classes].
        embeddings: [num_clips, num_versions, embedding_size].

    Returns:
        Measure -> float64 [num_clips, num_versions - 1].
    """
    activations, embeddings = activations.astype(float), embeddings.astype(float)
    top = activations.argmax(axis=2)
    change = np.abs(activations[:, 1:] - activations[:, :1])
    before, after = embeddings[:, :1], embeddings[:, 1:]
    norm, norm_after = (np.linalg.norm(x, axis=2) for x in (before, after))
    distance = np.linalg.norm(after - before, axis=2)
    # A change from or to an embedding of zeros counts as 1.
    is_changed = np.where(distance > 0, 1.0, 0.0)
    norms = norm * norm_after
    products = (before * after).sum(axis=2)
    cosine = np.divide(products, norms, out=1 - is_changed, where=norms > 0)
    # Rounding may make the cosine of equal embeddings differ from 1.
    cosine = np.where(distance > 0, np.clip(cosine, -1, 1), 1.0)
    return {
        "consistency": (top[:, 1:] == top[:, :1]).astype(float),
        "mean_change": change.mean(axis=2),
        "largest_change": change.max(axis=2),
        "embedding_change": np.divide(
            distance, norm, out=is_changed, where=np.broadcast_to(norm > 0, norms.shape)
        ),
        "embedding_cosine_distance": 1 - cosine,
    }


def find_shifted_clips(snapshot: Snapshot) -> ShiftedClips:
    """Finds the clips of which all versions have results.

    Digital silence is left out: its results are those of noise that a shift does not
    change.

    Raises:
        DatasetError: if there is none.
    """
    columns = ["clip_id", "status", "flags", SHIFT_OF, OFFSET_MS]
    versions: dict[str, dict[float | None, dict[str, object]]] = {}
    for row in sorted(snapshot.ledger(columns).to_pylist(), key=lambda r: r["clip_id"]):
        versions.setdefault(row[SHIFT_OF], {})[row[OFFSET_MS]] = row
    reasons = {name: _problem(rows) for name, rows in versions.items()}
    clip_ids = [name for name, reason in reasons.items() if not reason]
    if not clip_ids:
        why = ", ".join(sorted({*reasons.values()}))
        raise DatasetError(
            f"nothing to compare in {snapshot.dataset.shown}: every clip is left out "
            f"({why}); give other clips and a new --output"
        )
    offsets_ms = sorted(x for x in versions[clip_ids[0]] if x is not None)
    places = {
        str(versions[name][offset_ms]["clip_id"]): (i, j)
        for i, name in enumerate(clip_ids)
        for j, offset_ms in enumerate(offsets_ms)
    }
    left_out = {
        reason: tuple(name for name, why in reasons.items() if why == reason)
        for reason in sorted({*reasons.values()} - {""})
    }
    return ShiftedClips(tuple(clip_ids), tuple(offsets_ms), places, left_out)


def read_changes(snapshot: Snapshot, clips: ShiftedClips) -> Changes:
    """Reads the results of the versions by the model of a snapshot.

    Raises:
        DatasetError: if the dataset is damaged.
    """
    activations, embeddings = (_read(snapshot, clips, x) for x in _COLUMNS)
    return _changes(snapshot, clips, activations, embeddings)


def find_bin_clips(
    clips: ShiftedClips, shifted: Mapping[int, Snapshot]
) -> ShiftedClips:
    """Finds the clips that have results at all shifts in mel bins.

    Args:
        clips: The clips that are compared at their offsets in time.
        shifted: Shift in mel bins -> dataset of the clips with this shift.

    Raises:
        DatasetError: if there is none.
    """
    unshifted = {i: name for name, (i, j) in clips.places.items() if j == 0}
    done = {*unshifted.values()}
    for snapshot in shifted.values():
        rows = snapshot.ledger(["clip_id", "status"]).to_pylist()
        done &= {row["clip_id"] for row in rows if row["status"] == "ok"}
    chosen = [i for i in range(len(clips.clip_ids)) if unshifted[i] in done]
    if not chosen:
        raise DatasetError(
            "nothing to compare at shifts in mel bins: every clip failed at one of "
            "them; give --retry-failed, or other clips and a new --output"
        )
    failed = (x for i, x in enumerate(clips.clip_ids) if unshifted[i] not in done)
    names = tuple(failed)
    return ShiftedClips(
        tuple(clips.clip_ids[i] for i in chosen),
        (_UNSHIFTED, *map(float, shifted)),
        {unshifted[i]: (place, 0) for place, i in enumerate(chosen)},
        {"failed": names} if names else {},
        "bins",
    )


def read_bin_changes(
    snapshot: Snapshot, shifted: Sequence[Snapshot], clips: ShiftedClips
) -> Changes:
    """Reads the results at all shifts in mel bins by the model of a snapshot.

    Args:
        snapshot: Dataset of the clips without a shift in mel bins.
        shifted: Datasets of the shifts, in the order of the offsets.
        clips: Clips of `find_bin_clips`.

    Raises:
        DatasetError: if a dataset is damaged.
    """
    # Each dataset has one version of a clip.
    one = dataclasses.replace(clips, offsets=clips.offsets[:1])
    sources = [x.of_model(snapshot.model) for x in (snapshot, *shifted)]
    activations, embeddings = (
        np.concatenate([_read(x, one, column) for x in sources], axis=1)
        for column in _COLUMNS
    )
    return _changes(snapshot, clips, activations, embeddings)


def _changes(
    snapshot: Snapshot,
    clips: ShiftedClips,
    activations: FloatArray,
    embeddings: FloatArray,
) -> Changes:
    return Changes(
        snapshot.model,
        snapshot.labels("activations_mean"),
        clips,
        activations,
        measure_changes(activations, embeddings),
    )


def _problem(versions: Mapping[float | None, Mapping[str, object]]) -> str:
    """Says why a clip is left out; empty if it is not."""
    if None in versions:
        return "length not known"
    if any(row["status"] != "ok" for row in versions.values()):
        return "failed"
    flags = versions[_UNSHIFTED]["flags"]
    return "silent" if isinstance(flags, list) and "silent" in flags else ""


def _read(snapshot: Snapshot, clips: ShiftedClips, column: str) -> FloatArray:
    """A column of clips: float32 [num_clips, num_versions, size of a vector]."""
    size = snapshot.schema("clips", column).field(column).type.list_size
    shape = (len(clips.clip_ids), len(clips.offsets), size)
    result = np.full(shape, np.nan, np.float32)
    batch: pa.RecordBatch
    for batch in snapshot.clips(column):
        vectors = vectors_of(batch[column])
        for name, vector in zip(batch["clip_id"].to_pylist(), vectors, strict=True):
            if place := clips.places.get(name):
                result[place] = vector
    return result
