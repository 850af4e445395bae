"""Shows the scores of events on the console."""

import math

from pipeline.console import counted, short_list
from pipeline.results.evaluation.intervals import Estimate, number_text
from pipeline.results.event_scores.counting import KindOfScores
from pipeline.results.event_scores.matching import LENGTH_SHARE
from pipeline.results.event_scores.score import EventEvaluation
from pipeline.results.event_scores.score_files import (
    CSV_NAME,
    given_options,
    without_true,
)

# Number of the best labels, and of the worst labels, that the console shows.
_NUM_SHOWN = 5


def score_lines(evaluation: EventEvaluation, all_labels: bool) -> list[str]:
    """Returns the lines for the console.

    Args:
        evaluation: Evaluation to show.
        all_labels: Show all labels, not only the best and the worst.
    """
    settings, truth = evaluation.settings, evaluation.truth
    lines = [
        f"model {evaluation.snapshot.model}, "
        f"{counted(evaluation.num_found, 'event', 'events')} found with "
        f"{_options_text(evaluation)}, in {counted(len(evaluation.clips.clips))} of "
        f"{counted(evaluation.num_recordings, 'recording', 'recordings')}, against "
        f"{truth.source}"
    ]
    lines += [f"NOT FINISHED: {evaluation.unfinished}"] if evaluation.unfinished else []
    lines += _missing_lines(evaluation) + _cut_lines(evaluation)
    lines += _mark_lines(evaluation) if truth.is_marks else []
    if evaluation.num_recordings == 1:
        lines.append("one recording: its scores have no intervals")
    lines += _kind_lines(
        f"event-based: start within {settings.collar_s:g} s, end within "
        f"{settings.collar_s:g} s or {LENGTH_SHARE * 100:g} % of the event's length",
        evaluation.by_event,
        truth.is_marks,
    )
    lines += _kind_lines(
        f"segment-based: segments of {settings.segment_s:g} s that an event touches",
        evaluation.by_segment,
        truth.is_marks,
    )
    return lines + _excluded_lines(evaluation) + _label_lines(evaluation, all_labels)


def _options_text(evaluation: EventEvaluation) -> str:
    given = given_options(evaluation.options)
    texts = []
    for key, value in given.items():
        values = value if isinstance(value, list | tuple) else [value]
        for one in values:
            text = f"{one:g}" if isinstance(one, float) else str(one)
            option = f"--{key.replace('_', '-')}"
            texts.append(option if one is True else f"{option} {text}")
    if evaluation.is_stored:
        texts.insert(0, "the settings of the run")
    return " ".join(texts) or "the default settings"


def _missing_lines(evaluation: EventEvaluation) -> list[str]:
    reasons = evaluation.clips.without_result
    if not reasons:
        return []
    is_zero = evaluation.settings.missing == "zero" and not evaluation.truth.is_marks
    treated = (
        "their events count as not found; --missing skip leaves them out"
        if is_zero
        else "left out"
    )
    text = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    num = sum(reasons.values())
    return [f"{counted(num)} of the ground truth without a result ({text}): {treated}"]


def _cut_lines(evaluation: EventEvaluation) -> list[str]:
    clips, lines = evaluation.clips, []
    if clips.num_cut:
        lines.append(
            f"{counted(clips.num_cut, 'event', 'events')} of the ground truth cut at "
            "the start or end of clips"
        )
    if clips.num_outside:
        lines.append(
            f"{counted(clips.num_outside, 'event', 'events')} of the ground truth "
            "outside of the clips, not scored"
        )
    return lines


def _mark_lines(evaluation: EventEvaluation) -> list[str]:
    truth = evaluation.truth
    num_marked = sum(count.num_found for count in evaluation.by_event.counts)
    lines = [
        f"marks on found events: {num_marked:,} of {evaluation.num_found:,} found "
        "events have a mark, and only these count. Nobody marked what was not found: "
        "there is no recall"
    ]
    if truth.num_unmarked:
        lines.append(f"{counted(truth.num_unmarked, 'row', 'rows')} without a mark")
    return lines


def _kind_lines(heading: str, kind: KindOfScores, is_marks: bool) -> list[str]:
    names = ["precision"] if is_marks else ["precision", "recall", "F1"]
    lines = [heading, f"{'':10}{''.join(f'{name:22}' for name in names)}".rstrip()]
    rows = (("macro", kind.scores.macro), ("micro", kind.scores.micro))
    for name, rates in rows:
        shown = rates.estimates[: len(names)]
        text = "".join(f"{_estimate_text(one):22}" for one in shown)
        lines.append(f"{name:10}{text}".rstrip())
    return lines


def _estimate_text(estimate: Estimate) -> str:
    text = number_text(estimate.value)
    return text if math.isnan(estimate.low) else f"{text} {estimate.interval_text()}"


def _excluded_lines(evaluation: EventEvaluation) -> list[str]:
    truth, lines = evaluation.truth, []
    without = [] if truth.is_marks else without_true(evaluation)
    if without:
        lines.append(
            f"{counted(len(without), 'label', 'labels')} without a true event in these "
            f"clips, whose found events count only in micro: {short_list(without)}"
        )
    if evaluation.without_threshold:
        labels = evaluation.without_threshold
        lines.append(
            f"{counted(len(labels), 'label', 'labels')} without a threshold, not scored"
            f": {short_list(labels)}"
        )
    if evaluation.other_labels and not truth.is_marks:
        others = evaluation.other_labels
        lines.append(
            f"{counted(sum(others.values()), 'found event', 'found events')} of "
            f"{counted(len(others), 'label', 'labels')} that {truth.source} does not "
            f"have, not scored: {short_list([*others])}; --label LABEL scores a label"
        )
    return lines


def _label_lines(evaluation: EventEvaluation, all_labels: bool) -> list[str]:
    """Returns a line for each label that has scores, the best first."""
    is_marks = evaluation.truth.is_marks
    rows = []
    for i, label in enumerate(evaluation.labels):
        kinds = (evaluation.by_event, evaluation.by_segment)
        values = [
            [one.value for one in kind.scores.classes[i].estimates] for kind in kinds
        ]
        if is_marks:
            values = [numbers[:1] for numbers in values]
        key = values[0][-1]
        if not math.isnan(key):
            cells = "".join(f"  {_cell(x):>9}" for three in values for x in three)
            count = evaluation.by_event.counts[i]
            counts = f"  {count.num_true:>6,}  {count.num_found:>6,}"
            rows.append((-key, label, counts + cells))
    if not rows:
        return []
    width = max(len(label) for _, label, _ in rows)
    lines = [f"{label:{width}}{text}" for _, label, text in sorted(rows)]
    if not all_labels and len(lines) > 2 * _NUM_SHOWN + 1:
        left_out = len(lines) - 2 * _NUM_SHOWN
        dots = f"... {left_out:,} more: see {CSV_NAME}, or give --all-classes"
        lines = [*lines[:_NUM_SHOWN], dots, *lines[-_NUM_SHOWN:]]
    names = ["precision"] if is_marks else ["precision", "recall", "F1"]
    span = 11 * len(names)
    heads = ["yes", "marked"] if is_marks else ["true", "found"]
    return [
        f"{'':{width}}{'':16}{'  event-based':{span}}  segment-based",
        f"{'label':{width}}"
        + "".join(f"  {name:>6}" for name in heads)
        + "".join(f"  {name:>9}" for name in names * 2),
        *lines,
    ]


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
