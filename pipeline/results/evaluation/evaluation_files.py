"""Shows an evaluation as a table on the console, and as JSON, CSV and a picture."""

import csv
import io
import json
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from pipeline.console import counted, short_list
from pipeline.results.evaluation.evaluate import ClassScore, Evaluation
from pipeline.results.evaluation.intervals import CONFIDENCE, number_cell, number_text
from pipeline.results.evaluation.threshold_files import (
    class_cells,
    class_texts,
    thresholds_json,
    thresholds_lines,
)
from pipeline.results.write_files import write_files

JSON_NAME, CSV_NAME, PICTURE_NAME = "evaluation.json", "classes.csv", "classes.png"
# Number of the best classes, and of the worst classes, that the console shows.
_NUM_SHOWN = 5
_NAMES = {"mAP": "mAP", "mean_auc": "mean AUC", "d_prime": "d'", "lwlrap": "lwlrap"}


def write_evaluation(evaluation: Evaluation, folder: str) -> None:
    """Writes the three files. Replaces the files of an earlier evaluation.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    figure = draw_classes(evaluation)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    plt.close(figure)
    text = json.dumps(as_json(evaluation), indent=1, ensure_ascii=False) + "\n"
    contents = {
        CSV_NAME: _class_csv(evaluation).encode("utf-8"),
        PICTURE_NAME: picture.getvalue(),
        JSON_NAME: text.encode("utf-8", "backslashreplace"),
    }
    write_files(contents, folder, "evaluation")


def table_lines(evaluation: Evaluation, all_classes: bool) -> list[str]:
    """Returns the lines for the console.

    Args:
        evaluation: Evaluation to show.
        all_classes: Show all classes, not only the best and the worst.
    """
    truth = evaluation.truth
    part = f", split {truth.split}" if truth.split else ""
    lines = [
        f"model {evaluation.snapshot.model}, {evaluation.settings.aggregate} over "
        f"patches, {counted(evaluation.num_evaluated)} of {truth.source}{part}"
    ]
    lines += [f"NOT FINISHED: {evaluation.unfinished}"] if evaluation.unfinished else []
    lines += _missing_lines(evaluation)
    lines += [
        f"{_NAMES[key]:10}{number_text(estimate.value)}   {estimate.interval_text()}"
        for key, estimate in evaluation.overall.items()
    ]
    lines += _published_lines(evaluation)
    if evaluation.thresholds is not None:
        lines += thresholds_lines(evaluation.thresholds)
    return [
        *lines,
        *_excluded_lines(evaluation),
        *_class_lines(evaluation, all_classes),
    ]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the content of the JSON file: everything but the scores of each class.

    Undefined and infinite scores become null.
    """
    snapshot, truth, settings = (
        evaluation.snapshot,
        evaluation.truth,
        evaluation.settings,
    )
    published = evaluation.published
    return {
        "dataset": snapshot.dataset.shown,
        "run_started": snapshot.run.get("started"),
        "run_state": snapshot.run.get("state"),
        "unfinished": evaluation.unfinished,
        "model": {key: snapshot.model_entry[key] for key in ("name", "sha256")},
        "aggregate": settings.aggregate,
        "ground_truth": {
            "source": truth.source,
            "split": truth.split,
            "num_clips": len(truth.labels),
            "names_are": evaluation.joined_by,
        },
        "clips": {
            "evaluated": evaluation.num_evaluated,
            "without_result": evaluation.without_result,
            "without_result_counted_as": settings.missing,
        },
        "classes": {
            "asked_for": len(evaluation.classes),
            "without_positives": _without_positives(evaluation),
            "positive_in_every_clip": _always_positive(evaluation),
        },
        "bootstrap": {
            "resamples": settings.num_resamples,
            "seed": settings.seed,
            "confidence": CONFIDENCE,
            "method": "basic, over clips",
        },
        "scores": {key: one.as_json() for key, one in evaluation.overall.items()},
        "published": published
        and {
            "mAP": published.mean_average_precision,
            "standard_deviation": published.standard_deviation,
            "difference": _difference(evaluation),
            "notes": published.notes,
        },
        "thresholds": evaluation.thresholds and thresholds_json(evaluation.thresholds),
    }


def draw_classes(evaluation: Evaluation) -> Figure:
    """Draws the average precision of the classes, the best at the top.

    Shows classes with positives only, each with its interval and number of positives.
    """
    rows = _by_precision(evaluation)
    figure, (left, right) = plt.subplots(
        1,
        2,
        sharey=True,
        figsize=(10, 1.6 + 0.17 * len(rows)),
        width_ratios=(3, 1),
        layout="constrained",
    )
    places = np.arange(len(rows))
    values = np.array([row.average_precision.value for row in rows])
    ends = np.array([[r.average_precision.low, r.average_precision.high] for r in rows])
    left.barh(places, values, color="#4878a8", height=0.75)
    left.hlines(places, ends[:, 0], ends[:, 1], color="#222222", linewidth=1)
    mean = evaluation.overall["mAP"].value
    left.axvline(mean, color="#c03030", linestyle="--", linewidth=1)
    left.set_yticks(places, [row.label for row in rows], fontsize=8, parse_math=False)
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_xlim(0, 1)
    left.set_xlabel(f"average precision, 95 % interval; dashed: mAP {mean:.3f}")
    right.barh(
        places, [row.num_positives for row in rows], color="#999999", height=0.75
    )
    right.set_xscale("symlog", linthresh=1)
    right.set_xlim(0, max(row.num_positives for row in rows) * 15)
    right.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for place, row in enumerate(rows):
        right.annotate(
            f" {row.num_positives:,}",
            (row.num_positives, place),
            va="center",
            fontsize=7,
        )
    right.set_xlabel("clips with the label")
    right.tick_params(axis="y", left=False, labelleft=False)
    for axes in (left, right):
        axes.grid(axis="x", color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        # The picture is tall, so both ends have a scale.
        axes.tick_params(axis="x", top=True, labeltop=True, labelsize=8)
    truth = evaluation.truth
    part = f", {truth.split}" if truth.split else ""
    figure.suptitle(
        f"{evaluation.snapshot.model}, {evaluation.settings.aggregate} over patches: "
        f"{counted(evaluation.num_evaluated)}{part}"
        + (" (run not finished)" if evaluation.unfinished else ""),
        parse_math=False,
    )
    return figure


def _missing_lines(evaluation: Evaluation) -> list[str]:
    reasons = evaluation.without_result
    if not reasons:
        return []
    treated = {
        "zero": "counted as scored 0; --missing skip leaves them out",
        "skip": "left out",
    }
    total = sum(reasons.values())
    text = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return [
        f"{total:,} of {len(evaluation.truth.labels):,} clips of the ground truth have "
        f"no result ({text}): {treated[evaluation.settings.missing]}"
    ]


def _published_lines(evaluation: Evaluation) -> list[str]:
    published = evaluation.published
    if published is None:
        return []
    spread = published.standard_deviation
    return [
        f"published mAP {published.mean_average_precision:.3f}"
        + (f" ± {spread:.3f}" if spread is not None else "")
        + f"; the measured mAP differs by {_difference(evaluation):+.3f}",
        *(f"  ({note})" for note in published.notes),
    ]


def _difference(evaluation: Evaluation) -> float:
    assert evaluation.published is not None
    measured = evaluation.overall["mAP"].value
    return round(measured - evaluation.published.mean_average_precision, 6)


def _excluded_lines(evaluation: Evaluation) -> list[str]:
    lines = []
    without, always = _without_positives(evaluation), _always_positive(evaluation)
    if without:
        lines.append(
            f"{len(without):,} of {len(evaluation.classes):,} classes have no clip in "
            f"the ground truth and do not count: {short_list(without)}"
        )
    if always:
        lines.append(
            f"{len(always):,} classes are in every clip, so their average precision is "
            f"1 and they have no AUC: {short_list(always)}"
        )
    return lines


def _class_lines(evaluation: Evaluation, all_classes: bool) -> list[str]:
    rows = _by_precision(evaluation)
    width = max(len(row.label) for row in rows)
    scored = evaluation.thresholds
    heading, texts = class_texts(scored) if scored else ("", {})
    lines = [
        f"{row.label:{width}}  {row.average_precision.value:.3f}  "
        f"{row.average_precision.interval_text()}  {row.num_positives:<5,}"
        f"{texts.get(row.label, '')}".rstrip()
        for row in rows
    ]
    if not all_classes and len(rows) > 2 * _NUM_SHOWN + 1:
        left_out = len(rows) - 2 * _NUM_SHOWN
        dots = f"... {left_out:,} more: see {CSV_NAME}, or give --all-classes"
        lines = [*lines[:_NUM_SHOWN], dots, *lines[-_NUM_SHOWN:]]
    return [f"{'class':{width}}  AP     95 % interval   clips{heading}", *lines]


def _class_csv(evaluation: Evaluation) -> str:
    scored = evaluation.thresholds
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns, cells = class_cells(scored) if scored else ((), {})
    names = ("label", "num_positives", "ap", "ap_low", "ap_high", "auc", "aggregate")
    writer.writerow([*names, *columns])
    for row in evaluation.classes:
        precision = row.average_precision
        figures = (precision.value, precision.low, precision.high, row.auc)
        aggregate = evaluation.settings.aggregate
        writer.writerow(
            [row.label, row.num_positives, *map(number_cell, figures), aggregate]
            + cells.get(row.label, [])
        )
    return text.getvalue()


def _by_precision(evaluation: Evaluation) -> list[ClassScore]:
    rows = [row for row in evaluation.classes if row.num_positives]
    return sorted(rows, key=lambda row: (-row.average_precision.value, row.label))


def _without_positives(evaluation: Evaluation) -> list[str]:
    return [row.label for row in evaluation.classes if not row.num_positives]


def _always_positive(evaluation: Evaluation) -> list[str]:
    num_clips = evaluation.num_evaluated
    return [r.label for r in evaluation.classes if r.num_positives == num_clips]
