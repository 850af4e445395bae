"""Writes a shift test: JSON, CSV files and two pictures."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipeline.dataset.snapshot import Snapshot
from pipeline.results.evaluation.intervals import CONFIDENCE, number_cell
from pipeline.results.shift_test.changes import MEASURES
from pipeline.results.shift_test.pictures import draw_changes, draw_most_changed
from pipeline.results.shift_test.summary import Averages, Estimates, Summary
from pipeline.results.write_files import write_files

JSON_NAME = "shift_test.json"
CHANGES_PICTURE, CLIP_PICTURE = "changes.png", "most_changed.png"
OFFSETS_CSV, CLASSES_CSV = "offsets.csv", "classes.csv"
DIFFERENCES_CSV, CLIPS_CSV = "differences.csv", "clips.csv"
NAMES = (
    *(JSON_NAME, CHANGES_PICTURE, CLIP_PICTURE),
    *(OFFSETS_CSV, CLASSES_CSV, DIFFERENCES_CSV, CLIPS_CSV),
)
BINS_PICTURE, BINS_CSV = "bins.png", "bins.csv"
BIN_DIFFERENCES_CSV = "bin_differences.csv"
BIN_NAMES = (BINS_PICTURE, BINS_CSV, BIN_DIFFERENCES_CSV)
_COLUMNS = [name + end for name in MEASURES for end in ("", "_low", "_high")]


def write_shift_test(
    summary: Summary, snapshot: Snapshot, folder: str, bins: Summary | None = None
) -> None:
    """Writes the files. Replaces those of an earlier test.

    Args:
        summary: The shift test.
        snapshot: Dataset of the versions.
        folder: Folder to write to.
        bins: The shifts in mel bins, if there are any.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    content = as_json(summary, snapshot)
    if bins:
        content["bins"] = _bins_json(bins)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    contents = {
        OFFSETS_CSV: _offsets_csv(summary),
        CLASSES_CSV: _classes_csv(summary),
        DIFFERENCES_CSV: _differences_csv(summary),
        CLIPS_CSV: _clips_csv(summary),
        CHANGES_PICTURE: _png(draw_changes(summary)),
        CLIP_PICTURE: _png(draw_most_changed(summary)),
        JSON_NAME: text.encode("utf-8", "backslashreplace"),
    }
    if bins:
        contents |= {
            BINS_CSV: _offsets_csv(bins),
            BIN_DIFFERENCES_CSV: _differences_csv(bins),
            BINS_PICTURE: _png(draw_changes(bins)),
        }
    write_files(contents, folder, "shift test")


def as_json(summary: Summary, snapshot: Snapshot) -> dict[str, Any]:
    """Returns the content of the JSON file: everything but the rows of single clips."""
    clips, most = summary.clips, summary.most_changed
    entries = (snapshot.of_model(one.model).model_entry for one in summary.changes)
    return {
        "models": [{key: x[key] for key in ("name", "sha256")} for x in entries],
        "clips": _clips_json(summary),
        "offsets_ms": [*summary.offsets],
        "bootstrap": {
            "resamples": summary.settings.num_resamples,
            "seed": summary.settings.seed,
            "confidence": CONFIDENCE,
            "method": "percentiles, over clips",
        },
        **_averages_json(summary),
        "most_changed": {
            "model": most.model,
            "clip_id": clips.clip_ids[most.clip],
            "offset_ms": most.offset,
            "label": most.label,
            "before": most.before,
            "after": most.after,
        },
    }


def _bins_json(bins: Summary) -> dict[str, Any]:
    return {
        "clips": _clips_json(bins),
        "offsets": [*map(int, bins.offsets)],
        **_averages_json(bins),
    }


def _clips_json(summary: Summary) -> dict[str, Any]:
    clips = summary.clips
    return {
        "compared": len(clips.clip_ids),
        "left_out": {reason: [*names] for reason, names in clips.left_out.items()},
    }


def _averages_json(summary: Summary) -> dict[str, Any]:
    return {
        "overall": {
            name: _as_json(averages.overall)
            for name, averages in summary.averages.items()
        },
        "by_offset": {
            name: [*map(_as_json, averages.by_offset)]
            for name, averages in summary.averages.items()
        },
        "differences": [
            {"model": a, "minus": b, "overall": _as_json(averages.overall)}
            for (a, b), averages in summary.differences.items()
        ],
    }


def _as_json(estimates: Estimates) -> dict[str, Any]:
    return {name: one.as_json() for name, one in estimates.items()}


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=200)
    plt.close(figure)
    return picture.getvalue()


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cells(estimates: Estimates) -> list[str]:
    return [
        number_cell(value)
        for one in estimates.values()
        for value in (one.value, one.low, one.high)
    ]


def _rows_by_offset(
    summary: Summary, names: Sequence[str], averages: Averages
) -> Iterable[list[object]]:
    for offset, found in zip(summary.offsets, averages.by_offset, strict=True):
        yield [*names, f"{offset:g}", *_cells(found)]


def _offset_name(summary: Summary) -> str:
    return "bins" if summary.clips.unit == "bins" else "offset_ms"


def _offsets_csv(summary: Summary) -> bytes:
    rows = (
        row
        for name, averages in summary.averages.items()
        for row in _rows_by_offset(summary, [name], averages)
    )
    return _csv(["model", _offset_name(summary), *_COLUMNS], rows)


def _differences_csv(summary: Summary) -> bytes:
    rows = (
        row
        for names, averages in summary.differences.items()
        for row in _rows_by_offset(summary, names, averages)
    )
    return _csv(["model", "minus", _offset_name(summary), *_COLUMNS], rows)


def _classes_csv(summary: Summary) -> bytes:
    rows = (
        [name, row.label, row.num_clips, *_cells(row.overall)]
        for name, classes in summary.classes.items()
        for row in classes
    )
    return _csv(["model", "label", "num_clips", *_COLUMNS], rows)


def _clips_csv(summary: Summary) -> bytes:
    """Means over the offsets, and the largest change, by model and clip."""
    rows = (
        [
            *(one.model, clip_id, one.top_labels[index]),
            *(repr(float(values[index].mean())) for values in one.measures.values()),
            repr(float(one.measures["largest_change"][index].max())),
        ]
        for one in summary.changes
        for index, clip_id in enumerate(one.clips.clip_ids)
    )
    return _csv(["model", "clip_id", "top_label", *MEASURES, "largest_of_all"], rows)
