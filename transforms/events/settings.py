"""EventSettings: what counts as an event."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from transforms.errors import did_you_mean, unknown_value
from transforms.events.thresholds import Threshold

Bounds = Literal["patch", "hop"]
DEFAULT_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class EventSettings:
    """How activations become events. `find_events` says in which order.

    Attributes:
        threshold: Score from which an event of any label begins, 0 to 1; None for
            DEFAULT_THRESHOLD, or, with `thresholds`, for only the labels that these
            name.
        thresholds: Label -> its threshold, instead of `threshold` and `low`.
        low: Score below which an event ends; the threshold if None.
        labels: Labels whose events are wanted; all if empty.
        smooth_s: Length of the median filter in seconds; 0 for none.
        min_duration_s: Events that are shorter are dropped.
        merge_gap_s: Events of one label with at most this distance become one.
        leaves: Whether an event is dropped if an event of a label below its own in the
            hierarchy overlaps it.
        bounds: Whether a patch stands for its whole length or for the hop in its
            middle.

    Raises:
        ValueError: if a value is out of range.
    """

    threshold: float | None = None
    thresholds: Mapping[str, Threshold] = dataclasses.field(default_factory=dict)
    low: float | None = None
    labels: tuple[str, ...] = ()
    smooth_s: float = 0.0
    min_duration_s: float = 0.0
    merge_gap_s: float = 0.0
    leaves: bool = False
    bounds: Bounds = "patch"

    def __post_init__(self) -> None:
        for key in ("smooth_s", "min_duration_s", "merge_gap_s"):
            value = getattr(self, key)
            if not 0 <= value < math.inf:
                name = key.removesuffix("_s").replace("_", " ")
                raise ValueError(f"{name} is {value:g} s, expected 0 or more")
        if self.bounds not in get_args(Bounds):
            raise ValueError(unknown_value("bounds", self.bounds, get_args(Bounds)))
        if self._common is not None:
            # Checks the range.
            Threshold(self._common, self.low)

    @property
    def _common(self) -> float | None:
        """The threshold of labels that have none of their own; None to leave out."""
        if self.threshold is None and not self.thresholds:
            return DEFAULT_THRESHOLD
        return self.threshold

    def of_labels(self, labels: Sequence[str]) -> "LabelThresholds":
        """Returns the thresholds of a model's labels.

        Raises:
            ValueError: if a label of the settings is not one of the model's.
        """
        known = frozenset(labels)
        for name in (*self.labels, *self.thresholds):
            if name not in known:
                hint = (
                    did_you_mean(name, labels)
                    or f"labels are {', '.join(labels[:3])}, ..."
                )
                raise ValueError(f"there is no label {name!r}; {hint}")
        common = None if self._common is None else Threshold(self._common, self.low)
        found = [self.thresholds.get(label, common) for label in labels]
        values = [math.inf if one is None else one.threshold for one in found]
        lows = [
            value if one is None or one.low is None else one.low
            for one, value in zip(found, values, strict=True)
        ]
        return LabelThresholds(tuple(labels), np.array(values), np.array(lows))


@dataclasses.dataclass(frozen=True)
class LabelThresholds:
    """Thresholds in the order of a model's labels.

    Attributes:
        labels: Labels of the model.
        thresholds: float64 [num_classes], infinite for a label without events.
        lows: float64 [num_classes], at most `thresholds`.
    """

    labels: tuple[str, ...]
    thresholds: npt.NDArray[np.float64]
    lows: npt.NDArray[np.float64]
