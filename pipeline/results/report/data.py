"""Collects what the report page shows, as one object that becomes JSON."""

import base64
import dataclasses
import os
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.folder import Dataset
from pipeline.dataset.summary import dataset_totals
from pipeline.results.report.clips import (
    ClipRows,
    choose_clips,
    nearest_clips,
    read_clips,
    read_heat_maps,
)
from pipeline.results.report.labels import LabelStatistics, label_statistics
from pipeline.results.report.projection import NUM_PLACED, project
from pipeline.results.report.run import run_facts, run_state, run_tiles
from transforms import storage
from transforms.storage import URI_SCHEME

_MAX_TEXT = 300
_COLUMNS = [
    *("clip_id", "uri", "status", "error_type", "error", "duration_s", "num_patches"),
    "flags",
]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the page may hold. With these, that of FSD50K has about 15 MB.

    Attributes:
        clips: Clips in the sample, times models.
        heat_bytes: Values of all heat maps, one byte each.
        rows: Failed and flagged clips that are listed.
    """

    clips: int = 55_000
    heat_bytes: int = 2_500_000
    rows: int = 3_000


def collect(dataset: Dataset, page_folder: str, limits: Limits) -> dict[str, Any]:
    """All that the page shows, of the shards that are committed by now.

    Args:
        dataset: A run may be writing to it.
        page_folder: Where the page will be; audio is addressed from there.
        limits: What the page may hold.
    """
    run, is_going = dataset.run(), dataset.is_being_written()
    parts = [*map(storage.file_name, dataset.parts("ledger"))]
    ledger, totals = dataset.read_ledger(_COLUMNS), dataset_totals(dataset)
    names = dataset.model_names()
    statistics = {name: label_statistics(dataset, name, parts) for name in names}
    limit = max(1, limits.clips // max(1, len(names)))
    chosen = _choose(ledger, list(statistics.values()), limit)
    place = {clip_id: row for row, clip_id in enumerate(chosen)}
    heat_bytes = limits.heat_bytes // max(1, len(names))
    models = []
    for name in names:
        rows = read_clips(dataset, name, parts, chosen)
        model = _model(statistics[name], rows, place)
        maps = read_heat_maps(dataset, name, chosen, rows.parts, heat_bytes)
        models.append({"name": name, **model, "heat": _heat(maps)})
    hop_s = run["config"]["patch_hop"] * 220 / 22050
    return {
        "state": run_state(run, totals, is_going),
        "tiles": run_tiles(run, totals),
        "facts": run_facts(dataset, run),
        "dataset": dataset.shown,
        "hop_s": hop_s,
        "num_with_results": pc.sum(_has_patches(ledger)).as_py() or 0,
        "failed_by_reason": totals["failed_by_error_type"],
        **_troubled(ledger, place, limits.rows),
        **_clips(ledger, chosen, page_folder),
        "models": models,
    }


def _choose(
    ledger: pa.Table, statistics: list[LabelStatistics | None], limit: int
) -> list[str]:
    """The sample: the clips of most labels' first places, then others at random."""
    there = [one for one in statistics if one is not None]
    ranks = max((len(ids) for one in there for ids in one.best_ids), default=0)
    first = [
        ids[rank]
        for rank in range(ranks)
        for one in there
        for ids in one.best_ids
        if rank < len(ids)
    ]
    others = ledger.filter(_has_patches(ledger))["clip_id"].to_pylist()
    return choose_clips(first, others, limit)


def _has_patches(ledger: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.greater(ledger["num_patches"], 0), False)


def _clips(ledger: pa.Table, chosen: list[str], page_folder: str) -> dict[str, Any]:
    """Names, places and lengths of the sampled clips; folders are stored once."""
    rows: np.ndarray = np.zeros(0, np.int64)
    if chosen:
        found = pc.index_in(pa.array(chosen), value_set=ledger["clip_id"])
        rows = found.to_numpy()
    table = ledger.take(rows)
    folders: dict[str, int] = {}
    # What signs a URL is nobody's business.
    uris = map(storage.unsigned, table["uri"].to_pylist())
    split = [os.path.split(uri) for uri in uris]
    index = [folders.setdefault(folder, len(folders)) for folder, _ in split]
    duration = np.array(table["duration_s"].to_pylist(), np.float32)
    flags = {
        row: names for row, names in enumerate(table["flags"].to_pylist()) if names
    }
    return {
        "clips": {
            "id": chosen,
            "file": [name for _, name in split],
            "folder": _packed(np.array(index, np.uint32)),
            "duration_s": _packed(duration),
            "flags": flags,
        },
        "folders": [[folder, *_address(folder, page_folder)] for folder in folders],
    }


def _address(folder: str, page_folder: str) -> tuple[str | None, str]:
    """Where the page finds a folder: a relative path or a URL; or None and why not."""
    scheme = re.match(URI_SCHEME, folder + "/")
    if scheme is None:
        # A folder at a time: asking for every clip is slow on network disks.
        if os.path.isdir(folder):
            return os.path.relpath(folder, page_folder), ""
        return None, "its folder was not there when this page was written"
    if scheme[0].lower() in ("http://", "https://"):
        return folder, ""
    return None, "the file is in a store that a page cannot read"


def _model(
    statistics: LabelStatistics | None, rows: ClipRows, place: dict[str, int]
) -> dict[str, Any]:
    """Labels, top labels, map and nearest clips of one model; null what it lacks."""
    model: dict[str, Any] = {"labels": None, "map": None, "nearest": None}
    if statistics is not None and rows.top is not None:
        assert rows.top_scores is not None
        # uint16: a score is kept to 1/65535, and -1 for none becomes 65535.
        model |= {
            "labels": statistics.labels,
            "num_clips": statistics.num_clips,
            "num_top": statistics.num_top.tolist(),
            "bins": statistics.bins.tolist(),
            "top_bins": statistics.top_bins.tolist(),
            "best": _best(statistics, place),
            "top": _packed(rows.top.astype(np.uint16)),
            "top_scores": _packed(_sixteen_bits(rows.top_scores)),
        }
    there = np.array([part is not None for part in rows.parts], bool)
    model["there"] = _packed(there.astype(np.uint8))
    if rows.embeddings is not None:
        model |= _embedded(rows.embeddings, np.flatnonzero(there))
    return model


def _embedded(embeddings: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    """Map and nearest clips; `there` are the rows that have an embedding."""
    vectors = embeddings[there]
    # The first clips are those that labels put first: t-SNE shall see a fair sample.
    order = np.random.default_rng(0).permutation(len(there))
    points = np.zeros((len(embeddings), 2), np.float32)
    points[there[order]] = project(vectors[order])
    nearest, cosines = nearest_clips(vectors)
    return {
        "map": _packed(_sixteen_bits((points + 1) / 2)),
        "map_placed": min(NUM_PLACED, len(there)),
        "nearest": {
            "rows": there[: len(nearest)].tolist(),
            "count": nearest.shape[1],
            "of": _packed(there[nearest].astype(np.uint32)),
            "cosines": _packed(_sixteen_bits(cosines)),
        },
    }


def _best(statistics: LabelStatistics, place: dict[str, int]) -> list[list[Any]]:
    """For every label the sampled clips that score highest: [row, score], ..."""
    return [
        [
            [place[clip_id], round(score, 4)]
            for clip_id, score in zip(ids, scores, strict=True)
            if clip_id in place
        ]
        for ids, scores in zip(statistics.best_ids, statistics.best_scores, strict=True)
    ]


def _heat(maps: dict[int, Any]) -> dict[str, Any]:
    """Heat maps one after the other in one array of bytes."""
    values = [found.values.ravel() for found in maps.values()]
    return {
        "clips": {
            row: [found.labels, found.patches_per_column, found.num_patches]
            for row, found in maps.items()
        },
        "values": _packed(np.concatenate([np.zeros(0, np.uint8), *values])),
    }


def _troubled(ledger: pa.Table, place: dict[str, int], limit: int) -> dict[str, Any]:
    """Failed and flagged clips: the first ones, failed before flagged, and counts."""
    flags = Counter(pc.list_flatten(ledger["flags"]).to_pylist()) if len(ledger) else {}
    if not ledger.num_rows:
        return {"troubled": [], "num_troubled": 0, "flags": {}}
    failed = ledger.filter(pc.equal(ledger["status"], "failed"))
    is_flagged = pc.greater(pc.list_value_length(ledger["flags"]), 0)
    ok = pc.equal(ledger["status"], "ok")
    flagged = ledger.filter(pc.fill_null(pc.and_(ok, is_flagged), False))
    # Half of the table is kept for flagged clips, if there are that many.
    num_failed = min(failed.num_rows, max(limit // 2, limit - flagged.num_rows))
    kept = [
        failed.sort_by("clip_id").slice(0, num_failed),
        flagged.sort_by("clip_id").slice(0, limit - num_failed),
    ]
    rows = pa.concat_tables(kept).to_pylist()
    return {
        "troubled": [_troubled_row(row, place) for row in rows],
        "num_troubled": failed.num_rows + flagged.num_rows,
        "flags": dict(sorted(flags.items())),
    }


def _troubled_row(row: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    is_failed = row["status"] == "failed"
    return {
        "id": row["clip_id"],
        "uri": row["uri"],
        "failed": is_failed,
        "reasons": [row["error_type"]] if is_failed else row["flags"],
        "text": (row["error"] or "")[:_MAX_TEXT],
        "row": place.get(row["clip_id"], -1),
    }


def _sixteen_bits(values: np.ndarray) -> np.ndarray:
    """0 to 1 as 0 to 65535."""
    return np.clip(np.rint(values * 65535), 0, 65535).astype(np.uint16)


def _packed(values: np.ndarray) -> str:
    """Little-endian bytes of an array, in base64."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")
