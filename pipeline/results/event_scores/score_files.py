"""Writes the scores of events as JSON and CSV."""

import csv
import dataclasses
import io
import json
from typing import Any

from pipeline.event_options import EventOptions
from pipeline.results.evaluation.intervals import CONFIDENCE
from pipeline.results.evaluation.predictions import RATE_COLUMNS
from pipeline.results.event_scores.matching import LENGTH_SHARE
from pipeline.results.event_scores.score import EventEvaluation
from pipeline.results.write_files import write_files

JSON_NAME, CSV_NAME = "events.json", "events.csv"


def write_scores(evaluation: EventEvaluation, folder: str) -> None:
    """Writes both files. Replaces those of an earlier evaluation.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    text = json.dumps(as_json(evaluation), indent=1, ensure_ascii=False) + "\n"
    contents = {CSV_NAME: _label_csv(evaluation), JSON_NAME: text}
    encoded = {k: x.encode("utf-8", "backslashreplace") for k, x in contents.items()}
    write_files(encoded, folder, "evaluation")


def given_options(options: EventOptions) -> dict[str, Any]:
    """Returns the options that differ from their defaults."""
    given = dataclasses.asdict(options)
    return {k: v for k, v in given.items() if v != getattr(EventOptions(), k)}


def without_true(evaluation: EventEvaluation) -> list[str]:
    """Returns the labels that are scored and have no true events."""
    counts = zip(evaluation.labels, evaluation.by_event.counts, strict=True)
    return [label for label, count in counts if not count.num_true]


def as_json(evaluation: EventEvaluation) -> dict[str, Any]:
    """Returns the content of the JSON file: everything but the scores of each label.

    Undefined scores become null.
    """
    snapshot, truth = evaluation.snapshot, evaluation.truth
    settings, clips = evaluation.settings, evaluation.clips
    return {
        "dataset": snapshot.dataset.shown,
        "run_started": snapshot.run.get("started"),
        "run_state": snapshot.run.get("state"),
        "unfinished": evaluation.unfinished,
        "model": {key: snapshot.model_entry[key] for key in ("name", "sha256")},
        "found_with": {
            "options": given_options(evaluation.options),
            "by_the_run": snapshot.run["identity"].get("events"),
        },
        "ground_truth": {
            "source": truth.source,
            "is_marks": truth.is_marks,
            "rows_without_mark": truth.num_unmarked,
            "events_cut": clips.num_cut,
            "events_outside": clips.num_outside,
        },
        "clips": {
            "evaluated": len(clips.clips),
            "recordings": evaluation.num_recordings,
            "all_clips": settings.all_clips,
            "without_result": clips.without_result,
            "without_result_counted_as": settings.missing,
        },
        "labels": {
            "scored": len(evaluation.labels),
            "without_true_events": without_true(evaluation),
            "without_threshold": evaluation.without_threshold,
            "found_events_of_others": evaluation.other_labels,
        },
        "bootstrap": {
            "resamples": settings.num_resamples,
            "seed": settings.seed,
            "confidence": CONFIDENCE,
            "method": "basic, over recordings",
        },
        "num_found": evaluation.num_found,
        "event_based": {
            "collar_s": settings.collar_s,
            "share_of_length_for_end": LENGTH_SHARE,
            **evaluation.by_event.scores.as_json(),
        },
        "segment_based": {
            "segment_s": settings.segment_s,
            **evaluation.by_segment.scores.as_json(),
        },
    }


def _label_csv(evaluation: EventEvaluation) -> str:
    settings = evaluation.settings
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["label"]
    for kind in ("event", "segment"):
        columns += [f"{kind}_{x}" for x in ("true", "found", "hits")]
        columns += [f"{kind}_{x}" for x in RATE_COLUMNS]
    writer.writerow([*columns, "collar_s", "segment_s"])
    for i, label in enumerate(evaluation.labels):
        row: list[object] = [label]
        for scored in (evaluation.by_event, evaluation.by_segment):
            row += [*scored.counts[i], *scored.scores.classes[i].cells()]
        writer.writerow([*row, f"{settings.collar_s:g}", f"{settings.segment_s:g}"])
    return text.getvalue()
