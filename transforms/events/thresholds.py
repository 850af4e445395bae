"""Thresholds of labels, and the CSV file that holds them."""

import csv
import dataclasses
import io
from collections.abc import Mapping

from transforms.storage import absolute, read_file

COLUMNS = ("label", "threshold", "low")


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


def thresholds_csv(thresholds: Mapping[str, Threshold]) -> str:
    """Returns the text of a file of thresholds, with the columns COLUMNS.

    The column `low` is left out if no label has one.
    """
    has_low = any(one.low is not None for one in thresholds.values())
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS if has_low else COLUMNS[:2])
    for label, one in thresholds.items():
        low = [] if not has_low else [one.low]
        writer.writerow([label, one.threshold, *low])
    return file.getvalue()


def read_thresholds(uri: str) -> dict[str, Threshold]:
    """Reads a file of thresholds: label -> its threshold. Other columns are ignored.

    Raises:
        ValueError: if a column, a label or a number is missing or wrong.
        StorageError: if the file cannot be read.
    """
    return _parse(read_file(absolute(uri)).decode("utf-8-sig"))


def _parse(text: str) -> dict[str, Threshold]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = reader.fieldnames or []
    if not {*COLUMNS[:2]} <= {*names}:
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
            raise ValueError(f"line {reader.line_num}, {label!r} {problem}")
        thresholds[label] = value
    if not thresholds:
        raise ValueError("there are no thresholds, expected a row for every label")
    return thresholds
