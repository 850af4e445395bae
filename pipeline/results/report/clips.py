"""Chooses the clips that the report shows, and reads their results.

The page has to stay small, so the report shows a sample of a large dataset: first the
clips that score highest for a label, then others drawn at random, the same each time.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.results.report.projection import unit_rows

NUM_TOP = 5
NUM_NEAREST = 8
# Rows of a heat map: the labels with the highest means, as in the list of top labels,
# then labels that are strong only for a moment.
_NUM_BY_MEAN, _NUM_BY_PEAK = 8, 4
_MAX_COLUMNS = 240
# Limits the products of embeddings, so that nearest clips take seconds, not minutes.
_MAX_PAIRS = 300_000_000
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class ClipRows:
    """Results of one model for the sampled clips.

    Attributes:
        parts: File name of the part that holds each clip; None for a clip without
            results of the model.
        top: Indexes of the top labels, int32 [num_clips, NUM_TOP], -1 for no label;
            None if the dataset has no activations.
        top_scores: Mean activations of the top labels, float32 [num_clips, NUM_TOP].
        embeddings: Embeddings of length one, float32 [num_clips, size]; None if the
            dataset has no embeddings.
    """

    parts: list[str | None]
    top: np.ndarray | None
    top_scores: np.ndarray | None
    embeddings: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """The activations of one clip over time.

    Attributes:
        labels: Indexes of the labels, one for each row.
        values: Activations times 255, uint8 [num_labels, num_columns].
        patches_per_column: Number of patches of which a column shows the highest
            activation; more than 1 for long clips.
        num_patches: Number of patches of the clip.
    """

    labels: list[int]
    values: np.ndarray
    patches_per_column: int
    num_patches: int


def choose_clips(
    first: Iterable[str], others: pa.ChunkedArray, limit: int
) -> list[str]:
    """Chooses the sample, the most important clips first.

    Args:
        first: clip_ids to take before all others; may contain a clip several times.
        others: All clip_ids, in any order.
        limit: Size of the sample.

    Returns:
        Up to `limit` clip_ids.
    """
    chosen = list(dict.fromkeys(first))[:limit]
    is_taken = pc.is_in(others, value_set=pa.array(chosen, pa.string()))
    rest = others.filter(pc.invert(is_taken))
    by_name = pc.sort_indices(rest)
    order = np.random.default_rng(0).permutation(len(rest))[: limit - len(chosen)]
    names: list[str] = rest.take(by_name.take(pa.array(order))).to_pylist()
    return chosen + names


def read_clips(snapshot: Snapshot, clip_ids: list[str]) -> ClipRows:
    """Reads top labels and mean embeddings of the sampled clips."""
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    parts: list[str | None] = [None] * len(clip_ids)
    top = scores = embeddings = None
    columns = [
        column
        for column in ("activations_mean", "embedding_mean")
        if snapshot.has_column("clips", column)
    ]
    for part in snapshot.parts:
        table = snapshot.read_part("clips", part, ["clip_id", *columns])
        names = table["clip_id"].to_pylist()
        chosen = [index for index, name in enumerate(names) if name in row_of]
        rows = [row_of[names[index]] for index in chosen]
        for row in rows:
            parts[row] = part
        if "activations_mean" in columns:
            if top is None or scores is None:
                top = np.full((len(clip_ids), NUM_TOP), -1, np.int32)
                scores = np.zeros((len(clip_ids), NUM_TOP), np.float32)
            values = vectors_of(table["activations_mean"])[chosen]
            best = np.argsort(-values, axis=1, kind="stable")[:, :NUM_TOP]
            top[rows, : best.shape[1]] = best
            scores[rows, : best.shape[1]] = np.take_along_axis(values, best, axis=1)
        if "embedding_mean" in columns:
            vectors = vectors_of(table["embedding_mean"])
            if embeddings is None:
                embeddings = np.zeros((len(clip_ids), vectors.shape[1]), np.float32)
            embeddings[rows] = unit_rows(vectors[chosen])
    return ClipRows(parts, top, scores, embeddings)


def nearest_clips(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest clips of each clip by cosine similarity.

    Args:
        embeddings: Embeddings of length one, float32 [num_clips, size].

    Returns:
        Rows of the nearest clips, the nearest first, int32 [num_queries, n], and their
        cosines, float32 [num_queries, n]. With many clips, only the first ones have
        their nearest clips computed.
    """
    num_clips = len(embeddings)
    num_queries = min(num_clips, _MAX_PAIRS // max(1, num_clips))
    count = max(0, min(NUM_NEAREST, num_clips - 1))
    rows = np.empty((num_queries, count), np.int32)
    cosines = np.empty((num_queries, count), np.float32)
    for begin in range(0, num_queries if count else 0, _BLOCK):
        block = slice(begin, min(begin + _BLOCK, num_queries))
        products = embeddings[block] @ embeddings.T
        own = np.arange(block.start, block.stop)
        products[own - begin, own] = -np.inf
        best = np.argpartition(-products, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(products, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[block] = np.take_along_axis(best, order, axis=1)
        cosines[block] = np.take_along_axis(values, order, axis=1)
    return rows, cosines


def heat_map(activations: np.ndarray) -> HeatMap:
    """Reduces a clip's activations, float32 [num_patches, num_classes], for display."""
    best = np.argsort(-activations.mean(axis=0), kind="stable")[:_NUM_BY_MEAN]
    peaks = np.argsort(-activations.max(axis=0), kind="stable")
    others = [i for i in peaks.tolist() if i not in set(best.tolist())][:_NUM_BY_PEAK]
    labels = [*best.tolist(), *others]
    num_patches = len(activations)
    step = -(-num_patches // _MAX_COLUMNS)
    starts = np.arange(0, num_patches, step)
    strongest = np.maximum.reduceat(activations[:, labels], starts, axis=0)
    values = np.clip(np.rint(strongest * 255), 0, 255).astype(np.uint8)
    return HeatMap(labels, values.T, step, num_patches)


def read_heat_maps(
    snapshot: Snapshot,
    clip_ids: list[str],
    parts: Sequence[str | None],
    max_bytes: int,
) -> dict[int, HeatMap]:
    """Reads heat maps of the first clips of the sample, as many as fit.

    Every part is read once. A heat map is dropped again if a clip before it in the
    sample needs its bytes, so the result does not depend on the order of the parts.

    Args:
        snapshot: Dataset and model.
        clip_ids: clip_ids of the sample.
        parts: Part that holds each clip, None for a clip without results.
        max_bytes: Limit for the values of all heat maps.

    Returns:
        Row in the sample -> heat map.
    """
    if not snapshot.has_column("patches", "activations"):
        return {}
    wanted: dict[str, list[int]] = {}
    # Every clip needs at least one column, so more clips than this cannot fit.
    limit = max_bytes // (_NUM_BY_MEAN + _NUM_BY_PEAK)
    for row, part in enumerate(parts[:limit]):
        if part is not None:
            wanted.setdefault(part, []).append(row)
    maps: dict[int, HeatMap] = {}
    size, first_left_out = 0, limit
    for part in sorted(wanted):
        rows = [row for row in wanted[part] if row < first_left_out]
        for row, found in _part_maps(snapshot, part, clip_ids, rows):
            maps[row] = found
            size += found.values.size
        while size > max_bytes:
            first_left_out = max(maps)
            size -= maps.pop(first_left_out).values.size
    return dict(sorted(maps.items()))


def _part_maps(
    snapshot: Snapshot, part: str, clip_ids: list[str], rows: list[int]
) -> Iterable[tuple[int, HeatMap]]:
    """Reads the heat maps of some rows of the sample, all from one part."""
    if not rows:
        return
    names = pa.array([clip_ids[row] for row in rows])
    columns = ["clip_id", "patch", "activations"]
    table = snapshot.read_clips("patches", part, names.to_pylist(), columns)
    encoded = pc.index_in(table["clip_id"].combine_chunks(), value_set=names).to_numpy()
    values, patch = vectors_of(table["activations"]), table["patch"].to_numpy()
    for index, row in enumerate(rows):
        mine = np.flatnonzero(encoded == index)
        if len(mine):
            yield row, heat_map(values[mine[np.argsort(patch[mine], kind="stable")]])
