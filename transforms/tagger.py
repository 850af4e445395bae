"""Tagger: runs one model on audio files and arrays, without a pipeline."""

import os

import numpy as np
import numpy.typing as npt

from transforms.audio import decode_audio, resample_clip
from transforms.decoding.mixing import mix_samples
from transforms.elements import Clip, LabelledPrediction, Prediction
from transforms.engines.contract import DEFAULT_PRECISION, ModelSpec
from transforms.engines.registered import DEFAULT_ENGINE, load_engine
from transforms.features import compute_patches
from transforms.front_end.patches import DEFAULT_PATCHES, PatchSpec
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_model
from transforms.storage import absolute, shown


class Tagger:
    """One model, ready to run. Gives the same numbers as `fsdsinet extract`.

    Args:
        model: Name of a model, path of its graph (.pb), or a model that was loaded.
        engine: Name of the engine that runs the graph.
        patches: How patches are cut.
        precision: Format in which the engine computes, one of PRECISIONS.

    Raises:
        ModelError: if the model is missing or is not an FSD-SINet.
        ValueError: if no engine has that name.
    """

    def __init__(
        self,
        model: str | ModelSpec,
        engine: str = DEFAULT_ENGINE,
        patches: PatchSpec = DEFAULT_PATCHES,
        precision: str = DEFAULT_PRECISION,
    ) -> None:
        spec = model if isinstance(model, ModelSpec) else load_model(model)
        (self._spec,) = choose_engines([spec], engine, precision=precision)
        self._engine = load_engine(self._spec)
        self._patches = patches

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the activations."""
        return self._spec.labels

    def file(self, path: str | os.PathLike[str]) -> LabelledPrediction:
        """Predicts an audio file.

        Args:
            path: Path, or uri of a file in a bucket or on the web.

        Raises:
            ClipError: if the file cannot be read, decoded or resampled.
        """
        uri = os.fspath(path)
        return self._predict(decode_audio(Clip(shown(uri), absolute(uri))))

    def waveform(
        self, samples: npt.ArrayLike, sample_rate_hz: int
    ) -> LabelledPrediction:
        """Predicts samples that are in memory.

        Args:
            samples: float32 [num_samples] or [num_channels, num_samples], full scale
                at 1.
            sample_rate_hz: Sample rate of `samples`.

        Raises:
            ClipError: if samples are not finite, or there are too few.
            ValueError: if the type, the shape or the sample rate is not as above.
        """
        array = np.asarray(samples)
        if array.dtype.kind != "f":
            raise ValueError(
                f"got samples of type {array.dtype}, expected float32 with full scale "
                "at 1; divide 16-bit integers by 32768"
            )
        if array.ndim == 2 and array.shape[0] > array.shape[1]:
            raise ValueError(
                f"got samples of shape {array.shape}, expected [num_channels, "
                "num_samples]; transpose them"
            )
        audio = mix_samples(array.astype(np.float32, copy=False), sample_rate_hz)
        return self._predict(resample_clip(Clip("waveform", ""), audio))

    def _predict(self, clip: Clip) -> LabelledPrediction:
        clip = compute_patches(clip, self._patches)
        assert clip.patches is not None
        prediction = self._engine.run(clip.patches)
        return labelled(prediction, self._spec, self._patches, clip.flags)


def labelled(
    prediction: Prediction, spec: ModelSpec, patches: PatchSpec, flags: tuple[str, ...]
) -> LabelledPrediction:
    """Adds labels, times and flags to the output of an engine."""
    indices = np.arange(len(prediction.activations))
    return LabelledPrediction(
        prediction.activations,
        prediction.embeddings,
        spec.labels,
        patches.start_s(indices),
        tuple(sorted(flags)),
    )
