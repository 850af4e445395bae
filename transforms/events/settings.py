"""EventSettings: what counts as an event, and the thresholds of a model's labels."""

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from transforms.errors import did_you_mean, unknown_value

Bounds = Literal["patch", "hop"]
DEFAULT_THRESHOLD = 0.5
THRESHOLD_COLUMNS = ("label", "threshold", "low")


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The threshold of one label.

    Attributes:
        threshold: Score from which an event begins, 0 to 1.
        low: Score below which an event ends; the threshold if None.
    """

    threshold: float
    low: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("low", self.low)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}, expected 0 to 1")
        if self.low is not None and self.low > self.threshold:
            raise ValueError(
                f"low is {self.low:g}, expected at most the threshold of "
                f"{self.threshold:g}"
            )


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
        if self._common:
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
        for name in (*self.labels, *self.thresholds):
            if name not in labels:
                hint = did_you_mean(name, labels) or f"it has {', '.join(labels[:3])}"
                raise ValueError(f"the model has no label {name!r}; {hint}")
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


def thresholds_csv(thresholds: Mapping[str, Threshold]) -> str:
    """Returns the text of a file of thresholds, with the columns THRESHOLD_COLUMNS.

    The column `low` is left out if no label has one.
    """
    has_low = any(one.low is not None for one in thresholds.values())
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(THRESHOLD_COLUMNS if has_low else THRESHOLD_COLUMNS[:2])
    for label, one in thresholds.items():
        low = [] if not has_low else [one.low]
        writer.writerow([label, one.threshold, *low])
    return file.getvalue()


def parse_thresholds(text: str) -> dict[str, Threshold]:
    """Reads the text of a file of thresholds. Other columns are ignored.

    Raises:
        ValueError: if a column, a label or a number is missing or wrong.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    names = reader.fieldnames or []
    if not {*THRESHOLD_COLUMNS[:2]} <= {*names}:
        found = ", ".join(names) or "none"
        raise ValueError(f"the columns are {found}; expected label, threshold[, low]")
    thresholds: dict[str, Threshold] = {}
    for row in reader:
        label, low = row["label"], row.get("low") or None
        try:
            value = Threshold(
                float(row["threshold"]), None if low is None else float(low)
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {reader.line_num}, {label!r}: {error}") from error
        if not label or label in thresholds:
            problem = "is there twice" if label else "has no label"
            raise ValueError(f"line {reader.line_num} {label!r} {problem}")
        thresholds[label] = value
    if not thresholds:
        raise ValueError("there are no thresholds, expected a row for every label")
    return thresholds
