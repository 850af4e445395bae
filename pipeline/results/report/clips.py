"""What the report holds of single clips: a sample, its embeddings and its heat maps.

The page has to stay small, so that large runs are sampled: first the clips that score
highest for a label, then others drawn at random, always the same ones.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.folder import Dataset
from pipeline.dataset.vectors import vectors_of
from pipeline.results.report.labels import clip_tables
from pipeline.results.report.projection import unit_rows
from transforms import storage

NUM_TOP = 5
NUM_NEAREST = 8
# Rows of a heat map: the best by mean, as in the list of top labels, then others that
# are strong for a moment only.
_NUM_BY_MEAN, _NUM_BY_PEAK = 8, 4
_MAX_COLUMNS = 240
# Products of embeddings, so that nearest clips take seconds and not minutes.
_MAX_PAIRS = 300_000_000
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class ClipRows:
    """What one model says of the sampled clips.

    Attributes:
        parts: The part file of every clip; None if the model has no row of it.
        top: int32 [num_clips, NUM_TOP], indexes of its top labels, -1 for none; None
            if there are no activations.
        top_scores: float32, their mean activations.
        embeddings: float32 [num_clips, size], of length one; None if there are none.
    """

    parts: list[str | None]
    top: np.ndarray | None
    top_scores: np.ndarray | None
    embeddings: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """The activations of one clip over time.

    Attributes:
        labels: Indexes of the labels, one a row.
        values: uint8 [num_labels, num_columns], activation times 255.
        patches_per_column: More than one on long clips: the highest of them is kept.
        num_patches: Of the clip.
    """

    labels: list[int]
    values: np.ndarray
    patches_per_column: int
    num_patches: int


def choose_clips(first: Iterable[str], others: Sequence[str], limit: int) -> list[str]:
    """Up to `limit` clip_ids, the most important first.

    Args:
        first: The clips to take before all others; may repeat.
        others: All clips there are, in any order.
        limit: How many.
    """
    chosen = list(dict.fromkeys(first))[:limit]
    taken = set(chosen)
    rest = sorted(clip_id for clip_id in others if clip_id not in taken)
    order = np.random.default_rng(0).permutation(len(rest))[: limit - len(chosen)]
    return chosen + [rest[index] for index in order]


def read_clips(
    dataset: Dataset, model: str, parts: Sequence[str], clip_ids: list[str]
) -> ClipRows:
    """Reads top labels and mean embeddings of the sampled clips."""
    place = {clip_id: index for index, clip_id in enumerate(clip_ids)}
    found: list[str | None] = [None] * len(clip_ids)
    top = scores = embeddings = None
    columns = ["activations_mean", "embedding_mean"]
    for part, table in clip_tables(dataset, model, parts, columns):
        names = table["clip_id"].to_pylist()
        rows = [row for row, name in enumerate(names) if name in place]
        places = [place[names[row]] for row in rows]
        for index in places:
            found[index] = part
        if "activations_mean" in table.column_names:
            if top is None or scores is None:
                top = np.full((len(clip_ids), NUM_TOP), -1, np.int32)
                scores = np.zeros((len(clip_ids), NUM_TOP), np.float32)
            values = vectors_of(table["activations_mean"])[rows]
            best = np.argsort(-values, axis=1, kind="stable")[:, :NUM_TOP]
            top[places, : best.shape[1]] = best
            scores[places, : best.shape[1]] = np.take_along_axis(values, best, axis=1)
        if "embedding_mean" in table.column_names:
            vectors = vectors_of(table["embedding_mean"])
            if embeddings is None:
                embeddings = np.zeros((len(clip_ids), vectors.shape[1]), np.float32)
            embeddings[places] = unit_rows(vectors[rows])
    return ClipRows(found, top, scores, embeddings)


def nearest_clips(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest clips of the first ones, by cosine similarity.

    Args:
        embeddings: float32 [num_clips, size], of length one.

    Returns:
        int32 [num_queries, n], rows of the nearest clips, the nearest first, and
        float32, their cosines. Of many clips only the first ones are asked for.
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
    """The heat map of a clip's activations, float32 [num_patches, num_classes]."""
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
    dataset: Dataset,
    model: str,
    clip_ids: list[str],
    parts: Sequence[str | None],
    max_bytes: int,
) -> dict[int, HeatMap]:
    """Heat maps of as many clips as fit, the first ones first, by row of the sample.

    Every part is read once. What a later clip took is given back if an earlier one
    needs it, so the result does not depend on the order of the parts.
    """
    wanted: dict[str, list[int]] = {}
    # A clip takes at least one column: more cannot fit.
    limit = max_bytes // (_NUM_BY_MEAN + _NUM_BY_PEAK)
    for row, part in enumerate(parts[:limit]):
        if part is not None:
            wanted.setdefault(part, []).append(row)
    maps: dict[int, HeatMap] = {}
    size, first_left_out = 0, limit
    for part in sorted(wanted):
        uri = dataset.file(f"patches/model={model}", part)
        rows = [row for row in wanted[part] if row < first_left_out]
        for row, found in _part_maps(uri, clip_ids, rows):
            maps[row] = found
            size += found.values.size
        while size > max_bytes:
            first_left_out = max(maps)
            size -= maps.pop(first_left_out).values.size
    return dict(sorted(maps.items()))


def _part_maps(
    uri: str, clip_ids: list[str], rows: list[int]
) -> Iterable[tuple[int, HeatMap]]:
    file = pq.ParquetFile(storage.open_arrow(uri)) if rows else None
    if file is None or "activations" not in file.schema_arrow.names:
        return
    table = file.read(["clip_id", "patch", "activations"])
    names = pa.array([clip_ids[row] for row in rows])
    table = table.filter(pc.is_in(table["clip_id"], value_set=names))
    encoded = pc.index_in(table["clip_id"].combine_chunks(), value_set=names).to_numpy()
    values, patch = vectors_of(table["activations"]), table["patch"].to_numpy()
    for index, row in enumerate(rows):
        mine = np.flatnonzero(encoded == index)
        if len(mine):
            yield row, heat_map(values[mine[np.argsort(patch[mine], kind="stable")]])
