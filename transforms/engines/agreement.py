"""Compares engines with the reference on a few fixed sounds."""

import functools

import numpy as np

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import (
    DEFAULT_PRECISION,
    TOLERANCES,
    Engine,
    ModelSpec,
)
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.network import read_network_of
from transforms.engines.plain import compute
from transforms.essentia_import import has_tensorflow
from transforms.front_end.patches import PatchSpec, cut_patches, log_mel, normalise

_SOUND_S = 2


def check_sounds() -> dict[str, FloatArray]:
    """Sounds of two seconds at 22,050 Hz: loud and quiet, with and without pitch."""
    size = _SOUND_S * SAMPLE_RATE_HZ
    noise = np.random.default_rng(0).standard_normal(size)
    seconds = np.arange(size) / SAMPLE_RATE_HZ
    tones = sum(np.sin(2 * np.pi * hz * seconds) / hz for hz in (110, 440, 1760))
    waveforms = {
        "silence": np.zeros(size),
        "noise": noise,
        "tones": np.asarray(tones) * (seconds % 0.5 < 0.3),
        "sweep": np.sin(2 * np.pi * 100 * 30**seconds),
        "clicks": noise * (seconds % 0.25 < 0.002) + 1e-5 * noise[::-1],
    }
    return {name: samples.astype(np.float32) for name, samples in waveforms.items()}


def patches_of(waveform: FloatArray) -> FloatArray:
    """The patches of a waveform: float32 [num_patches, 101, 96]."""
    return cut_patches(log_mel(normalise(waveform))[0], PatchSpec())


@functools.cache
def check_patches() -> FloatArray:
    """All patches of all check sounds: float32 [20, 101, 96]."""
    return np.concatenate([*map(patches_of, check_sounds().values())])


def reference(spec: ModelSpec) -> Prediction:
    """Essentia's prediction for the check patches.

    Where Essentia has no TensorFlow, NumPy computes the layers in float64.
    """
    if has_tensorflow():
        return EssentiaEngine(spec).run(check_patches())
    return compute(read_network_of(spec), check_patches())


def differences(actual: Prediction, expected: Prediction) -> tuple[float, float]:
    """Largest differences of activations and of embeddings; nan if a value is nan.

    The difference of embeddings is divided by the largest expected embedding value.
    """
    activations = np.abs(actual.activations - expected.activations).max()
    embeddings = np.abs(actual.embeddings - expected.embeddings).max()
    largest = np.abs(expected.embeddings).max()
    return float(activations), float(embeddings / max(largest, 1e-6))


def disagreement(
    engine: Engine,
    expected: Prediction,
    step: int = 1,
    tolerance: float = TOLERANCES[DEFAULT_PRECISION],
) -> str:
    """Says how an engine differs from the reference; empty if it agrees.

    Args:
        engine: Engine to compare.
        expected: Result of `reference`.
        step: Only every n-th patch is compared, with n = `step`.
        tolerance: Largest allowed difference, as `differences` computes it.
    """
    part = Prediction(expected.activations[::step], expected.embeddings[::step])
    actual = engine.run(check_patches()[::step])
    activations, embeddings = differences(actual, part)
    # This form of the condition makes nan disagree.
    if activations <= tolerance and embeddings <= tolerance:
        return ""
    return (
        f"activations differ from the reference by {activations:.2g} and embeddings by "
        f"{embeddings:.2g} of the largest, expected at most {tolerance:g}"
    )


def require_agreement(spec: ModelSpec, engine: Engine) -> None:
    """Checks that an engine agrees with the reference on this machine, too.

    The machine that started the job compared all patches. Here one patch of every sound
    is compared.

    Raises:
        RuntimeError: if the engine disagrees.
    """
    step = len(check_patches()) // len(check_sounds())
    problem = (
        disagreement(engine, spec.expected, step, spec.tolerance)
        if spec.expected
        else ""
    )
    if problem:
        raise RuntimeError(
            f"engine {spec.engine_text} is wrong for model {spec.name} on this "
            f"machine: {problem}; run with --engine essentia"
        )
