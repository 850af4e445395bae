"""Renders any sound that is made by formula: signals, effects, oddities."""

import numpy as np

from training.synthesis.effects import EFFECTS
from training.synthesis.oddities import ODDITIES
from training.synthesis.signals import SIGNALS, Random, Signal
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

FORMULAS: dict[str, Signal] = {
    formula.__name__: formula for formula in (*SIGNALS, *EFFECTS, *ODDITIES)
}


def render_formula(name: str, length_s: float, rng: Random) -> np.ndarray:
    """Renders a formula: float32 [length_s * 22050] with a peak of 0.5, or silence."""
    t = np.arange(round(length_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    samples = FORMULAS[name](t, rng)
    peak = np.abs(samples).max()
    if name != "silence" and peak > 0:
        samples = samples * (0.5 / peak)
    return samples.astype(np.float32)
