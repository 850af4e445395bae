"""Scores with confidence intervals, from the resamples of a bootstrap."""

import dataclasses
import math

import numpy as np

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def interval_text(self) -> str:
        """Returns the interval for people."""
        return f"[{number_text(self.low)}, {number_text(self.high)}]"

    def as_json(self) -> dict[str, float | None]:
        """Returns the values for JSON; undefined and infinite ones become null."""
        values = dataclasses.asdict(self)
        return {key: x if math.isfinite(x) else None for key, x in values.items()}


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def estimate(measured: float | np.ndarray, drawn: np.ndarray) -> Estimate:
    """Returns a score from 0 to 1 with the interval of the basic bootstrap.

    The interval is the score minus the error that the resamples show (Davison and
    Hinkley, Bootstrap Methods and their Application, 1997, section 5.2). It is NaN if
    the score or all its resamples are NaN.

    Args:
        measured: The score.
        drawn: Scores of the resamples, float [num_resamples].
    """
    value = float(measured)
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return dataclasses.replace(UNDEFINED, value=value)
    tail = (1 - CONFIDENCE) / 2
    low, high = 2 * value - np.quantile(drawn, [1 - tail, tail])
    return Estimate(value, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)))


def number_cell(value: float) -> str:
    """Returns a number for a CSV file; empty if it is undefined."""
    return "" if math.isnan(value) else repr(value)


def number_text(value: float) -> str:
    """Returns a score or threshold for people."""
    return "undefined" if math.isnan(value) else f"{value:.3f}"
