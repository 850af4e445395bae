"""Sums up the changes of all clips: by offset and by class, with intervals."""

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError
from pipeline.results.evaluation.intervals import CONFIDENCE, Estimate
from pipeline.results.evaluation.scores import bootstrap_weights
from pipeline.results.shift_test.changes import MEASURES, Changes, ShiftedClips

Array = npt.NDArray[np.float64]
Estimates = dict[str, Estimate]


@dataclasses.dataclass(frozen=True)
class SummarySettings:
    """Settings of the summary.

    Attributes:
        class_clips: Number of clips from which a class is summed up.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: if a number is out of range.
    """

    class_clips: int = 5
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (
            ("class-clips", self.class_clips),
            ("resamples", self.num_resamples),
        ):
            if value < 1:
                raise ConfigError(f"{name} is {value}, expected 1 or more")


@dataclasses.dataclass(frozen=True)
class Averages:
    """Means over clips, with intervals of the bootstrap over clips.

    The limits are quantiles of the resamples: unlike those of average precisions, means
    of resamples are neither too high nor too low.

    Attributes:
        overall: Measure -> its mean over all offsets.
        by_offset: For each offset, measure -> its mean.
    """

    overall: Estimates
    by_offset: tuple[Estimates, ...]


@dataclasses.dataclass(frozen=True)
class ClassAverages:
    """Means over the clips whose top label, unshifted, is `label`."""

    label: str
    num_clips: int
    overall: Estimates


@dataclasses.dataclass(frozen=True)
class MostChanged:
    """The clip that changes most by any model, and its largest change.

    It is the clip with the highest mean, over the offsets, of the largest change of an
    activation.

    Attributes:
        model: Name of the model.
        clip: Index of the clip.
        offset: Offset, in the unit of the clips.
        label: The label whose activation changes.
        before: Activation without a shift.
        after: Activation of the shifted clip.
    """

    model: str
    clip: int
    offset: float
    label: str
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """Result of a shift test.

    Attributes:
        changes: Changes by each model, of the same clips.
        settings: Settings.
        averages: Model -> its means.
        classes: Model -> means of its classes with enough clips, most clips first.
        differences: Pairs of models -> means of the first minus those of the second.
        most_changed: The clip that changes most.
    """

    changes: tuple[Changes, ...]
    settings: SummarySettings
    averages: Mapping[str, Averages]
    classes: Mapping[str, tuple[ClassAverages, ...]]
    differences: Mapping[tuple[str, str], Averages]
    most_changed: MostChanged

    @property
    def clips(self) -> ShiftedClips:
        """The clips."""
        return self.changes[0].clips

    @property
    def offsets(self) -> tuple[float, ...]:
        """The offsets of the shifted versions."""
        return self.clips.offsets[1:]


def sum_up(changes: Sequence[Changes], settings: SummarySettings) -> Summary:
    """Sums up the changes by one or several models, of the same clips."""
    weights = _weights(len(changes[0].clips.clip_ids), settings)
    pairs = itertools.combinations(changes, 2)
    return Summary(
        tuple(changes),
        settings,
        {one.model: _averages(one.measures, weights) for one in changes},
        {one.model: _classes(one, settings) for one in changes},
        {(a.model, b.model): _difference(a, b, weights) for a, b in pairs},
        find_most_changed(changes),
    )


def find_most_changed(changes: Sequence[Changes]) -> MostChanged:
    """Finds the clip that changes most; of equal ones, the first."""

    def means(one: Changes) -> np.ndarray:
        return one.measures["largest_change"].mean(axis=1)

    one = max(changes, key=lambda x: float(means(x).max()))
    clip = int(means(one).argmax())
    shift = int(one.measures["largest_change"][clip].argmax())
    before, after = one.activations[clip, 0], one.activations[clip, shift + 1]
    label = int(np.abs(after - before).argmax())
    return MostChanged(
        one.model,
        clip,
        one.clips.offsets[shift + 1],
        one.labels[label],
        float(before[label]),
        float(after[label]),
    )


def _weights(num_clips: int, settings: SummarySettings) -> Array:
    """How often each resample has each clip: [num_clips, num_resamples]."""
    blocks = bootstrap_weights(num_clips, settings.num_resamples, settings.seed)
    return np.concatenate([*blocks], axis=1).astype(float)


def _averages(measures: Mapping[str, np.ndarray], weights: Array) -> Averages:
    """Means of measures [num_clips, num_offsets]."""
    overall: Estimates = {}
    by_offset: dict[int, Estimates] = collections.defaultdict(dict)
    for name, values in measures.items():
        drawn = values.T @ weights / len(values)
        overall[name] = _estimate(values.mean(), drawn.mean(axis=0))
        for index, mean in enumerate(values.mean(axis=0)):
            by_offset[index][name] = _estimate(mean, drawn[index])
    return Averages(overall, tuple(by_offset.values()))


def _estimate(mean: float, drawn: Array) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    return Estimate(float(mean), *np.quantile(drawn, [tail, 1 - tail]).tolist())


def _difference(one: Changes, other: Changes, weights: Array) -> Averages:
    """Means of the differences of the same clips."""
    values = {name: one.measures[name] - other.measures[name] for name in MEASURES}
    return _averages(values, weights)


def _classes(changes: Changes, settings: SummarySettings) -> tuple[ClassAverages, ...]:
    clips_of = collections.defaultdict[str, list[int]](list)
    for index, label in enumerate(changes.top_labels):
        clips_of[label].append(index)
    found = []
    for label, clips in sorted(clips_of.items(), key=lambda x: (-len(x[1]), x[0])):
        if len(clips) >= settings.class_clips:
            values = {name: x[clips] for name, x in changes.measures.items()}
            weights = _weights(len(clips), settings)
            averages = _averages(values, weights)
            found.append(ClassAverages(label, len(clips), averages.overall))
    return tuple(found)
