"""Settings of an evaluation."""

import dataclasses
from typing import Literal

Aggregate = Literal["mean", "max", "logit-mean"]
Missing = Literal["zero", "skip"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    Attributes:
        aggregate: How a clip's score follows from its patches: their mean, their
            maximum, or the mean of their logits as a score again.
        missing: Whether clips of the ground truth without a result count as scored 0
            in all classes (`zero`), or are left out (`skip`).
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap, and of the folds of a cross-validation.
    """

    aggregate: Aggregate = "mean"
    missing: Missing = "zero"
    num_resamples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a threshold is chosen for.

    Attributes:
        precision: Lowest precision, with which the recall shall be as high as possible;
            None for the highest F1.

    Raises:
        ValueError: if the precision is not above 0 and at most 1.
    """

    precision: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and not 0 < self.precision <= 1:
            raise ValueError(
                f"precision is {self.precision:g}, expected above 0 and at most 1"
            )

    def __str__(self) -> str:
        return "f1" if self.precision is None else f"precision:{self.precision:g}"


@dataclasses.dataclass(frozen=True)
class ThresholdSettings:
    """Which thresholds are scored.

    Attributes:
        file: CSV file of thresholds: written if they are fitted, else read.
        is_fitted: Whether thresholds are fitted.
        fit_split: Split to fit on; None for the default.
        objective: What the thresholds are fitted for.
        num_folds: Number of folds of a cross-validation of one split; None if
            thresholds are fitted on one split and scored on another.
    """

    file: str
    is_fitted: bool = True
    fit_split: str | None = None
    objective: Objective = Objective()
    num_folds: int | None = None


def parse_objective(text: str) -> Objective:
    """Reads an objective: f1 or, for example, precision:0.9.

    Raises:
        ValueError: if the text is neither.
    """
    if text == "f1":
        return Objective()
    name, _, value = text.partition(":")
    try:
        number = float(value)
    except ValueError as error:
        raise _unknown(text) from error
    if name != "precision":
        raise _unknown(text)
    return Objective(number)


def _unknown(text: str) -> ValueError:
    return ValueError(
        f"objective is {text!r}, expected f1 or precision:P, such as precision:0.9"
    )
