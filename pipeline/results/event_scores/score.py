"""Scores the events of a dataset against a ground truth of events."""

import collections
import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console import short_list
from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.event_options import EventOptions, label_thresholds
from pipeline.results.evaluation.ground_truth import (
    GroundTruth,
    class_indices,
    same_spelling,
)
from pipeline.results.evaluation.settings import Missing, Settings
from pipeline.results.event_scores.clips import ScoredClips, read_scored_clips
from pipeline.results.event_scores.counting import (
    Counter,
    Key,
    KindOfScores,
    Known,
    score_events,
)
from pipeline.results.event_scores.truth import EventTruth, read_truth
from pipeline.results.events.read_events import read_events, reads_stored
from transforms.events.detect import Times
from transforms.events.settings import EventSettings

# The models say every half second what is heard. An event of a sound that fills half of
# a patch begins up to half a second before the sound (bounds `patch`), or up to a
# quarter before or after it (bounds `hop`).
DEFAULT_COLLAR_S = 0.5
DEFAULT_SEGMENT_S = 1.0


@dataclasses.dataclass(frozen=True)
class EventScoreSettings:
    """Settings of the scores of events.

    Attributes:
        collar_s: Seconds by which the start of a found event may differ.
        segment_s: Length of a segment.
        all_clips: Whether clips are scored that the ground truth does not name.
        missing: Whether the true events of clips without a result count as not found
            (`zero`), or are left out (`skip`).
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: if a number is out of range.
    """

    collar_s: float = DEFAULT_COLLAR_S
    segment_s: float = DEFAULT_SEGMENT_S
    all_clips: bool = False
    missing: Missing = "zero"
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.collar_s < math.inf:
            raise ConfigError(f"collar is {self.collar_s:g} s, expected 0 or more")
        if not 0 < self.segment_s < math.inf:
            raise ConfigError(f"segment is {self.segment_s:g} s, expected above 0")
        if self.num_resamples < 1:
            raise ConfigError(f"resamples is {self.num_resamples}, expected 1 or more")


@dataclasses.dataclass(frozen=True)
class EventEvaluation:
    """Result of scoring events.

    Attributes:
        snapshot: Dataset and model.
        truth: Ground truth.
        options: Options with which events were found.
        settings: Settings of the scores.
        clips: Clips that were scored.
        labels: Labels that were scored, in the model's order.
        by_event: Scores of events.
        by_segment: Scores of segments.
        num_found: Number of found events of these labels in these clips.
        other_labels: Label that was not asked for -> number of its found events.
        without_threshold: Labels that are not scored, because these settings find no
            events of them.
        unfinished: How many clips are done if the run has not finished, else None.
        is_stored: Whether the run found the events, with settings of its own.
    """

    snapshot: Snapshot
    truth: EventTruth
    options: EventOptions
    settings: EventScoreSettings
    clips: ScoredClips
    labels: tuple[str, ...]
    by_event: KindOfScores
    by_segment: KindOfScores
    num_found: int
    other_labels: dict[str, int]
    without_threshold: tuple[str, ...]
    unfinished: str | None
    is_stored: bool

    @property
    def num_recordings(self) -> int:
        """The number of recordings that were scored."""
        return len({clip.recording for clip in self.clips.clips})


def evaluate_events(
    output: str,
    source: str,
    model: str | None,
    options: EventOptions,
    settings: EventScoreSettings,
) -> EventEvaluation:
    """Finds events in a dataset and scores them.

    Args:
        output: Folder of a dataset.
        source: Ground truth, see `truth.py`.
        model: Name of the model; may be None if the dataset has only one.
        options: What counts as an event.
        settings: Settings of the scores.

    Raises:
        ConfigError: if the ground truth cannot be used or does not fit the dataset, or
            an option is out of range.
        DatasetError: if the dataset has neither activations nor events, or is damaged.
    """
    event_settings = options.settings()
    snapshot = Snapshot(output, model)
    truth = read_truth(source)
    if truth.is_marks and settings.all_clips:
        raise ConfigError(
            f"events {truth.source} has marks, so that only marked events are scored; "
            "leave out --all-clips"
        )
    asked = _asked_labels(truth, snapshot, event_settings)
    findable = _findable(snapshot, event_settings)
    labels = tuple(label for label in asked if label in findable)
    if not labels:
        raise ConfigError(
            f"these settings find no events of {short_list(asked)}, the labels of "
            f"{truth.source}; give thresholds for them, or --threshold for all labels"
        )
    missing: Missing = "skip" if truth.is_marks else settings.missing
    clips = read_scored_clips(snapshot, truth, settings.all_clips, missing)
    known = _known_events(clips, labels)
    if not known:
        raise ConfigError(
            f"events {truth.source} has no event of {short_list(labels)} in the clips "
            f"to score ({clips.num_outside:,} events are outside of them)"
        )
    table = read_events(snapshot, event_settings).table
    found, other_labels = _found_events(table, clips, labels)
    by_event, by_segment = score_events(
        known,
        found,
        clips.clips,
        len(labels),
        Counter(settings.collar_s, settings.segment_s, truth.is_marks),
        Settings(num_resamples=settings.num_resamples, seed=settings.seed),
    )
    return EventEvaluation(
        snapshot,
        truth,
        options,
        settings,
        clips,
        labels,
        by_event,
        by_segment,
        sum(map(len, found.values())),
        other_labels,
        tuple(label for label in asked if label not in findable),
        snapshot.unfinished(),
        reads_stored(snapshot, event_settings),
    )


def _asked_labels(
    truth: EventTruth, snapshot: Snapshot, settings: EventSettings
) -> tuple[str, ...]:
    """Returns the labels to score, in the model's order, as the model spells them.

    These are the labels of the option --label, or those that the ground truth has: for
    others, nobody may have listened.

    Raises:
        ConfigError: if the ground truth has a label that the model does not know.
    """
    labels = snapshot.labels("activations_mean")
    as_clip_labels = GroundTruth(truth.source, None, {"": truth.labels})
    class_indices(as_clip_labels, labels, snapshot.model)
    asked = settings.labels or truth.labels
    return tuple(label for label in labels if {label, same_spelling(label)} & {*asked})


def _findable(snapshot: Snapshot, settings: EventSettings) -> set[str]:
    """Returns the labels of which these settings can find events."""
    labels = snapshot.labels("activations_mean")
    thresholds = label_thresholds(settings, labels, snapshot.model).thresholds
    findable = {x for x, t in zip(labels, thresholds, strict=True) if math.isfinite(t)}
    stored = snapshot.run["identity"].get("events")
    if stored and reads_stored(snapshot, settings):
        # The run found the events, with settings of its own.
        if stored["thresholds"] and stored["threshold"] is None:
            findable &= {*stored["thresholds"]}
        if stored["labels"]:
            findable &= {*stored["labels"]}
    return findable


def _known_events(clips: ScoredClips, labels: tuple[str, ...]) -> dict[Key, Known]:
    """Returns the events of the ground truth by clip and label."""
    index_of = {same_spelling(label): i for i, label in enumerate(labels)}
    rows = collections.defaultdict[Key, list[tuple[float, float, bool]]](list)
    for clip, events in enumerate(clips.events):
        for event in events:
            if event.label in index_of:
                times = (event.start_s, event.end_s, event.is_true)
                rows[clip, index_of[event.label]].append(times)
    known = {}
    for key, events_of_key in rows.items():
        values = np.array(events_of_key, np.float64)
        known[key] = Known(values[:, :2], values[:, 2] > 0)
    return known


def _found_events(
    table: pa.Table, clips: ScoredClips, labels: tuple[str, ...]
) -> tuple[dict[Key, Times], dict[str, int]]:
    """Returns the found events of the clips to score.

    Args:
        table: Found events.
        clips: Clips to score.
        labels: Labels to score.

    Returns:
        Start and end of the events by clip and label, float64 [num_events, 2]; and
        label -> number of events, for labels that are not scored.
    """
    clip_of = {c.clip_id: i for i, c in enumerate(clips.clips) if not c.problem}
    wanted = pc.is_in(table["clip_id"], pa.array([*clip_of], pa.string()))
    table = table.filter(wanted)
    index_of = {label: i for i, label in enumerate(labels)}
    rows = collections.defaultdict[Key, list[tuple[float, float]]](list)
    others: collections.Counter[str] = collections.Counter()
    columns = (table[x].to_pylist() for x in ("clip_id", "label", "start_s", "end_s"))
    for clip_id, label, start_s, end_s in zip(*columns, strict=True):
        if label in index_of:
            rows[clip_of[clip_id], index_of[label]].append((start_s, end_s))
        else:
            others[label] += 1
    found = {key: np.array(times, np.float64) for key, times in rows.items()}
    return found, dict(others.most_common())
