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
