"""Shows thresholds and their scores: on the console, in JSON and in CSV files."""

import math
from collections.abc import Iterable
from typing import Any

from pipeline.console import counted, short_list
from pipeline.errors import ConfigError
from pipeline.results.evaluation.fit import Fit, ThresholdScores
from pipeline.results.evaluation.intervals import number_cell, number_text
from pipeline.results.evaluation.predictions import RATE_COLUMNS, RATES
from pipeline.results.evaluation.thresholds import MIN_POSITIVES
from transforms import storage
from transforms.events.thresholds import Threshold, thresholds_csv


def write_thresholds(scored: ThresholdScores) -> None:
    """Writes the file of thresholds. Replaces an earlier one.

    Raises:
        ConfigError: if the file cannot be written.
    """
    pairs = zip(scored.labels, scored.thresholds.tolist(), strict=True)
    text = thresholds_csv({label: Threshold(value) for label, value in pairs})
    try:
        with storage.publish(storage.absolute(scored.settings.file)) as file:
            file.write(text.encode("utf-8"))
    except storage.StorageError as error:
        raise ConfigError(f"cannot write thresholds: {error}") from error


def thresholds_lines(scored: ThresholdScores) -> list[str]:
    """Returns the lines for the console, but for those of single classes."""
    lines = [_origin(scored), f"{'':10}{'precision':22}{'recall':22}F1"]
    for name, rates in (("macro", scored.scores.macro), ("micro", scored.scores.micro)):
        texts = (
            f"{number_text(x.value)} {x.interval_text():16}" for x in rates.estimates
        )
        lines.append(f"{name:10}{''.join(texts)}".rstrip())
    if scored.fit is not None:
        lines += _fit_lines(scored.fit, scored)
    without = _labels(scored, [math.isnan(x) for x in scored.thresholds])
    if without:
        lines.append(
            f"{len(without):,} of {len(scored.labels):,} classes have no threshold in "
            f"{scored.settings.file} and do not count in these scores: "
            f"{short_list(without)}"
        )
    return lines


def thresholds_json(scored: ThresholdScores) -> dict[str, Any]:
    """Returns the content of the JSON file, but for scores of single classes."""
    fit = scored.fit
    return {
        "file": scored.settings.file,
        "fit": fit
        and {
            "objective": str(scored.settings.objective),
            "split": fit.split,
            "num_clips": fit.num_clips,
            "cross_validation_folds": scored.settings.num_folds,
            "common_threshold": fit.fitted.common,
            "min_positives": MIN_POSITIVES,
            "too_few_positives": _labels(scored, fit.fitted.has_few),
            "precision_not_reached": _labels(scored, fit.fitted.is_unreached),
            "scores_on_fitted_clips": {
                name: dict(zip(RATES, values, strict=True))
                for name, values in (("macro", fit.macro), ("micro", fit.micro))
            },
        },
        "without_threshold": _labels(
            scored, [math.isnan(x) for x in scored.thresholds]
        ),
        "scores": scored.scores.as_json(),
    }


def class_texts(scored: ThresholdScores) -> tuple[str, dict[str, str]]:
    """Returns the heading of further columns on the console, and label -> its cells."""
    texts = {}
    rows = zip(scored.labels, scored.thresholds, scored.scores.classes, strict=True)
    for label, threshold, rates in rows:
        cells = [threshold, *(one.value for one in rates.estimates)]
        shown = ("-" if math.isnan(cell) else f"{cell:.3f}" for cell in cells)
        texts[label] = "".join(f"  {text:>9}" for text in shown)
    names = ("threshold", "precision", "recall", "F1")
    return "".join(f"  {name:>9}" for name in names), texts


def class_cells(
    scored: ThresholdScores,
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Returns the names of further columns of a CSV file, and label -> its cells."""
    positives = scored.fit.fitted.num_positives.tolist() if scored.fit else None
    cells = {}
    for i, label in enumerate(scored.labels):
        cells[label] = [
            number_cell(float(scored.thresholds[i])),
            str(positives[i]) if positives else "",
            *scored.scores.classes[i].cells(),
        ]
    return ("threshold", "fit_positives", *RATE_COLUMNS), cells


def _origin(scored: ThresholdScores) -> str:
    settings, fit = scored.settings, scored.fit
    if fit is None:
        return f"thresholds of {settings.file}:"
    precision = settings.objective.precision
    best = (
        "the highest F1"
        if precision is None
        else f"a precision of at least {precision:g}"
    )
    if settings.num_folds is None:
        return (
            f"thresholds for {best} of each class, fitted on "
            f"{counted(fit.num_clips)} of split {fit.split}:"
        )
    return (
        f"thresholds for {best} of each class, in {settings.num_folds} folds: each "
        "clip is predicted with thresholds that were fitted on the other folds\n"
        f"({settings.file} gets thresholds that are fitted on all "
        f"{counted(fit.num_clips)})"
    )


def _fit_lines(fit: Fit, scored: ThresholdScores) -> list[str]:
    key = "F1" if scored.settings.objective.precision is None else "precision"
    macro, micro = (
        dict(zip(("precision", "recall", "F1"), values, strict=True))[key]
        for values in (fit.macro, fit.micro)
    )
    lines = [
        f"on the clips that were fitted on, {key} is too high: macro {macro:.3f}, "
        f"micro {micro:.3f}"
    ]
    few = _labels(scored, fit.fitted.has_few)
    unreached = _labels(scored, fit.fitted.is_unreached)
    kept = f"keep the threshold of all classes together, {fit.fitted.common:.3f}"
    total = len(scored.labels)
    if few:
        lines.append(
            f"{len(few):,} of {total:,} classes have fewer than {MIN_POSITIVES} clips "
            f"to fit on and {kept}: {short_list(few)}"
        )
    if unreached:
        lines.append(
            f"{len(unreached):,} of {total:,} classes do not reach the precision and "
            f"{kept}: {short_list(unreached)}"
        )
    return lines


def _labels(scored: ThresholdScores, chosen: Iterable[bool]) -> list[str]:
    return [x for x, is_chosen in zip(scored.labels, chosen, strict=True) if is_chosen]
