"""The reference engine: Essentia's own TensorFlow predictor."""

import threading

import numpy as np

from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import ModelSpec
from transforms.essentia_import import algorithm, essentia, has_tensorflow
from transforms.front_end.mel import NUM_MELS
from transforms.front_end.patches import PATCH_FRAMES

# Essentia's predictors pass this many patches at a time to TensorFlow. Other sizes of
# batches change activations by up to 2.4e-6.
_REFERENCE_BATCH = 64


class EssentiaEngine:
    """Essentia's TensorflowPredict: bit-identical to the reference.

    Raises:
        ModuleNotFoundError: if the installed Essentia has no TensorFlow.
    """

    def __init__(self, spec: ModelSpec) -> None:
        if not has_tensorflow():
            name = "essentia-tensorflow"
            raise ModuleNotFoundError(f"package {name} is not installed", name=name)
        self._spec = spec
        # Beam may call one model from several threads, but neither the TensorFlow
        # session nor passing a Pool to it is thread-safe.
        self._lock = threading.Lock()
        self._predict = algorithm(
            "TensorflowPredict",
            graphFilename=str(spec.graph_file()),
            inputs=[spec.input_node],
            outputs=[spec.activations_node, spec.embeddings_node],
            squeeze=False,
        )

    def run(self, patches: FloatArray) -> Prediction:
        batches = [
            self._run_batch(patches[start : start + _REFERENCE_BATCH])
            for start in range(0, len(patches), _REFERENCE_BATCH)
        ]
        empty = Prediction(
            np.empty((0, len(self._spec.labels)), np.float32),
            np.empty((0, self._spec.embedding_size), np.float32),
        )
        batches = batches or [empty]
        return Prediction(
            np.concatenate([batch.activations for batch in batches]),
            np.concatenate([batch.embeddings for batch in batches]),
        )

    def _run_batch(self, patches: FloatArray) -> Prediction:
        # Pool.set silently ignores strides, so it must get contiguous memory.
        batch = np.ascontiguousarray(patches, dtype=np.float32)[..., np.newaxis]
        if batch.shape[1:] != (PATCH_FRAMES, NUM_MELS, 1):
            raise ValueError(
                f"got patches of shape {batch.shape[1:3]}, "
                f"expected {(PATCH_FRAMES, NUM_MELS)}"
            )
        pool = essentia().Pool()
        pool.set(self._spec.input_node, batch)
        with self._lock:
            outputs = essentia().Pool(self._predict(pool.cppPool))
        spec = self._spec
        return Prediction(
            self._checked(outputs[spec.activations_node], len(batch), len(spec.labels)),
            self._checked(
                outputs[spec.embeddings_node], len(batch), spec.embedding_size
            ),
        )

    def _checked(self, output: FloatArray, num_patches: int, size: int) -> FloatArray:
        if output.size != num_patches * size:
            raise ValueError(
                f"model {self._spec.name} gave an output of shape {output.shape} "
                f"for {num_patches} patches, expected {size} values a patch"
            )
        return output.reshape(num_patches, size)
