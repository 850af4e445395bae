"""Collects the data of the report page as one object, which becomes JSON."""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from pipeline.dataset.summary import ledger_totals
from pipeline.inputs.excerpts import END, START, time_text
from pipeline.results.events.read_events import read_events
from pipeline.results.report.addresses import Folders
from pipeline.results.report.clips import (
    ClipRows,
    choose_clips,
    nearest_clips,
    read_clips,
    read_heat_maps,
)
from pipeline.results.report.events import (
    event_data,
    has_events,
    settings_in_use,
    settings_text,
)
from pipeline.results.report.labels import LabelStatistics, label_statistics
from pipeline.results.report.packing import packed, sixteen_bits
from pipeline.results.report.projection import NUM_PLACED, project
from pipeline.results.report.recordings.coverage import coverage_data
from pipeline.results.report.recordings.overview import Audio, overview_data
from pipeline.results.report.recordings.pieces import file_starts, read_pieces
from pipeline.results.report.run_facts import run_facts, run_state, run_tiles
from transforms.events.settings import EventSettings

_MAX_TEXT = 300
_COLUMNS = [
    *("clip_id", "uri", "status", "error_type", "error", "duration_s", "num_patches"),
    "flags",
]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of the page. With the defaults, the page of FSD50K has about 16 MB.

    Attributes:
        clips: Number of clips in the sample, times the number of models.
        heat_bytes: Number of values in all heat maps, one byte each.
        rows: Number of failed and flagged clips that are listed.
        events: Number of events that are listed, times the number of models.
        recordings: Number of recordings that are shown one by one, times the number of
            models.
        calendar_bytes: Number of values in all calendars, one byte each.
        breaks: Number of recorders, of gaps and of overlaps that are listed.
    """

    clips: int = 55_000
    heat_bytes: int = 2_500_000
    rows: int = 3_000
    events: int = 20_000
    recordings: int = 60
    calendar_bytes: int = 2_000_000
    breaks: int = 500


def collect(
    dataset: Dataset,
    page_folder: str,
    limits: Limits,
    settings: EventSettings | None = None,
) -> dict[str, Any]:
    """Collects the data of the page from the shards that are committed.

    Args:
        dataset: Dataset to show; a run may be writing to it.
        page_folder: Folder of the page; addresses of audio are relative to it.
        limits: Limits of the page.
        settings: What counts as an event; None for the defaults.

    Raises:
        ConfigError: if the settings do not suit the dataset.
        DatasetError: if the folder holds no dataset, or a damaged one.
    """
    is_running = dataset.is_being_written()
    snapshots = _snapshots(dataset)
    times = [START, END] if snapshots[0].has_excerpts() else []
    run, ledger = snapshots[0].run, snapshots[0].ledger([*_COLUMNS, *times])
    totals = ledger_totals(ledger)
    statistics = [label_statistics(snapshot) for snapshot in snapshots]
    chosen = _choose(ledger, statistics, max(1, limits.clips // len(snapshots)))
    row_of = {clip_id: row for row, clip_id in enumerate(chosen)}
    heat_bytes = limits.heat_bytes // len(snapshots)
    folders = Folders(page_folder)
    recorded = _Recorded(snapshots, settings, limits, folders)
    models = []
    for snapshot, counted in zip(snapshots, statistics, strict=True):
        rows = read_clips(snapshot, chosen)
        maps = read_heat_maps(snapshot, chosen, rows.parts, heat_bytes)
        model = {"name": snapshot.model, **_model(counted, rows, row_of)}
        model["has_patches"] = snapshot.has_column("patches", "activations")
        models.append({**model, "heat": _heat(maps), **recorded.of_model(snapshot)})
    return {
        "state": run_state(run, totals, is_running),
        "tiles": run_tiles(run, totals),
        "facts": run_facts(dataset, run),
        "dataset": dataset.shown,
        "hop_s": snapshots[0].patch_spec.hop_s,
        "num_with_results": pc.sum(_has_patches(ledger)).as_py() or 0,
        "failed_by_reason": totals["failed_by_error_type"],
        **_troubled(ledger, row_of, limits.rows),
        **_clips(ledger, chosen, folders),
        "folders": folders.rows(),
        "coverage": recorded.coverage(),
        "models": models,
    }


class _Recorded:
    """What the page says of events and of the times of recordings.

    Args:
        snapshots: Models of the dataset.
        settings: What counts as an event; None for the defaults.
        limits: Limits of the page.
        folders: Folders of the page's files.
    """

    def __init__(
        self,
        snapshots: list[Snapshot],
        settings: EventSettings | None,
        limits: Limits,
        folders: Folders,
    ) -> None:
        self._has_settings = settings is not None
        self._settings = settings or EventSettings()
        self._num_models = len(snapshots)
        self._limits, self._folders = limits, folders
        self._pieces = read_pieces(snapshots[0])
        self._starts = file_starts(self._pieces)
        self._audio = Audio(self._pieces)

    def coverage(self) -> dict[str, Any] | None:
        """Returns when there is audio; None if no time is known."""
        return coverage_data(self._pieces, self._limits.breaks)

    def of_model(self, snapshot: Snapshot) -> dict[str, Any]:
        """Returns events and overview of a model; None if there can be none."""
        # Settings that find nothing to work on are a mistake: read_events says so.
        if not snapshot.parts or not (has_events(snapshot) or self._has_settings):
            return {"events": None, "overview": None}
        found = read_events(snapshot, self._settings)
        labels = snapshot.labels("activations_mean")
        limit = self._limits.events // self._num_models
        data = event_data(found.table, labels, limit, self._folders, self._starts)
        text = settings_text(settings_in_use(snapshot, self._settings))
        overview = overview_data(
            snapshot,
            found.table,
            self._audio,
            self._folders,
            self._limits.recordings // self._num_models,
            self._limits.calendar_bytes // self._num_models,
        )
        return {"events": {**data, "settings": text}, "overview": overview}


def _snapshots(dataset: Dataset) -> list[Snapshot]:
    """Returns one snapshot per model, all of the same moment."""
    names = dataset.model_names()
    first = Snapshot(dataset.root, names[0])
    return [first, *(first.of_model(name) for name in names[1:])]


def _choose(
    ledger: pa.Table, statistics: list[LabelStatistics | None], limit: int
) -> list[str]:
    """Chooses the sample: the best clip of every label, the second best, and so on."""
    best = [ids for one in statistics if one is not None for ids in one.best_ids]
    ranks = max(map(len, best), default=0)
    first = [ids[rank] for rank in range(ranks) for ids in best if rank < len(ids)]
    others = ledger.filter(_has_patches(ledger))["clip_id"]
    return choose_clips(first, others, limit)


def _has_patches(ledger: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.greater(ledger["num_patches"], 0), False)


def _clips(ledger: pa.Table, chosen: list[str], folders: Folders) -> dict[str, Any]:
    """Returns names, folders and durations of the sampled clips."""
    rows: np.ndarray = np.zeros(0, np.int64)
    if chosen:
        # The other way round would be a table of all clips in memory.
        found = pc.index_in(ledger["clip_id"], value_set=pa.array(chosen))
        where = np.flatnonzero(found.is_valid())
        rows = where[np.argsort(found.drop_null().to_numpy())]
    table = ledger.take(rows)
    split = [folders.split(uri) for uri in table["uri"].to_pylist()]
    duration = np.array(table["duration_s"].to_pylist(), np.float32)
    flags = {
        row: names for row, names in enumerate(table["flags"].to_pylist()) if names
    }
    return {
        "clips": {
            "id": chosen,
            "file": [name for _, name in split],
            "folder": packed(np.array([folder for folder, _ in split], np.uint32)),
            "duration_s": packed(duration),
            "flags": flags,
            "times": _times(table),
        },
    }


def _times(table: pa.Table) -> dict[int, list[str]]:
    """Returns start and end of the excerpts as text, in seconds; an end may be empty.

    They are part of an address, in which a number has no exponent.
    """
    if START not in table.column_names:
        return {}
    rows = zip(table[START].to_pylist(), table[END].to_pylist(), strict=True)
    return {
        row: [time_text(start or 0.0), "" if end is None else time_text(end)]
        for row, (start, end) in enumerate(rows)
        if start is not None or end is not None
    }


def _model(
    statistics: LabelStatistics | None, rows: ClipRows, row_of: dict[str, int]
) -> dict[str, Any]:
    """Returns labels, top labels, map and nearest clips of one model.

    Values are None if the dataset lacks the activations or embeddings they need.
    """
    model: dict[str, Any] = {"labels": None, "map": None, "nearest": None}
    if statistics is not None and rows.top is not None:
        assert rows.top_scores is not None
        # As uint16, a score is exact to 1/65535, and -1 for no label becomes 65535.
        model |= {
            "labels": statistics.labels,
            "num_clips": statistics.num_clips,
            "num_top": statistics.num_top.tolist(),
            "bins": statistics.bins.tolist(),
            "top_bins": statistics.top_bins.tolist(),
            "best": _best(statistics, row_of),
            "top": packed(rows.top.astype(np.uint16)),
            "top_scores": packed(sixteen_bits(rows.top_scores)),
        }
    has_results = np.array([part is not None for part in rows.parts], bool)
    model["has_results"] = packed(has_results.astype(np.uint8))
    if rows.embeddings is not None:
        model |= _embedded(rows.embeddings, np.flatnonzero(has_results))
    return model


def _embedded(embeddings: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Returns map and nearest clips; `rows` are the rows that have an embedding."""
    vectors = embeddings[rows]
    # In random order, because t-SNE places the first clips only: in the sample, these
    # are the best clips of the labels, which do not represent the others.
    order = np.random.default_rng(0).permutation(len(rows))
    points = np.zeros((len(embeddings), 2), np.float32)
    points[rows[order]] = project(vectors[order])
    nearest, cosines = nearest_clips(vectors)
    return {
        "map": packed(sixteen_bits((points + 1) / 2)),
        "map_placed": min(NUM_PLACED, len(rows)),
        "nearest": {
            "rows": rows[: len(nearest)].tolist(),
            "count": nearest.shape[1],
            "of": packed(rows[nearest].astype(np.uint32)),
            "cosines": packed(sixteen_bits(cosines)),
        },
    }


def _best(statistics: LabelStatistics, row_of: dict[str, int]) -> list[list[Any]]:
    """Returns for every label the sampled clips that score highest: [row, score]."""
    return [
        [
            [row_of[clip_id], round(score, 4)]
            for clip_id, score in zip(ids, scores, strict=True)
            if clip_id in row_of
        ]
        for ids, scores in zip(statistics.best_ids, statistics.best_scores, strict=True)
    ]


def _heat(maps: dict[int, Any]) -> dict[str, Any]:
    """Returns all heat maps, their values one after the other in one array of bytes."""
    values = [found.values.ravel() for found in maps.values()]
    return {
        "clips": {
            row: [found.labels, found.patches_per_column, found.num_patches]
            for row, found in maps.items()
        },
        "values": packed(np.concatenate([np.zeros(0, np.uint8), *values])),
    }


def _troubled(ledger: pa.Table, row_of: dict[str, int], limit: int) -> dict[str, Any]:
    """Returns the first failed clips, the first flagged clips, and their numbers."""
    flags = Counter(pc.list_flatten(ledger["flags"]).to_pylist()) if len(ledger) else {}
    if not ledger.num_rows:
        return {"troubled": [], "num_troubled": 0, "flags": {}}
    failed = ledger.filter(pc.equal(ledger["status"], "failed"))
    is_flagged = pc.greater(pc.list_value_length(ledger["flags"]), 0)
    ok = pc.equal(ledger["status"], "ok")
    flagged = ledger.filter(pc.fill_null(pc.and_(ok, is_flagged), False))
    # Half of the list is reserved for flagged clips, if there are so many.
    num_failed = min(failed.num_rows, max(limit // 2, limit - flagged.num_rows))
    kept = [
        failed.sort_by("clip_id").slice(0, num_failed),
        flagged.sort_by("clip_id").slice(0, limit - num_failed),
    ]
    rows = pa.concat_tables(kept).to_pylist()
    return {
        "troubled": [_troubled_row(row, row_of) for row in rows],
        "num_troubled": failed.num_rows + flagged.num_rows,
        "flags": dict(sorted(flags.items())),
    }


def _troubled_row(row: dict[str, Any], row_of: dict[str, int]) -> dict[str, Any]:
    is_failed = row["status"] == "failed"
    return {
        "id": row["clip_id"],
        "uri": row["uri"],
        "failed": is_failed,
        "reasons": [row["error_type"]] if is_failed else row["flags"],
        "text": (row["error"] or "")[:_MAX_TEXT],
        "row": row_of.get(row["clip_id"], -1),
    }
