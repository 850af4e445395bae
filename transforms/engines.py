"""Engines run a model's graph on patches. One small class an engine.

An Engine is built from a ModelSpec in the worker process, once, and then called for
every clip. `essentia` is the reference, `winograd` the fastest; a new one adds a class
and a line in ENGINES.
"""

import dataclasses
import hashlib
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from transforms.elements import FloatArray, Prediction
from transforms.essentia_import import algorithm, essentia
from transforms.front_end import PATCH_FRAMES
from transforms.mel import NUM_MELS
from transforms.storage import local_copy

# Essentia's predictors feed TensorFlow this many patches at a time; other batch sizes
# move activations by up to 2.4e-6.
_REFERENCE_BATCH = 64


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model as the workers need it. Read at launch by `pipeline.models`.

    Attributes:
        name: Names the model in the output (`model=<name>`).
        graph_path: The frozen graph (.pb), path or uri, readable by every worker.
        sha256: Of the graph file.
        input_node: Takes float32 [batch, 101, 96, 1].
        activations_node: Gives float32 [batch, num_classes].
        embeddings_node: Gives float32 [batch, embedding_size].
        labels: Names of the classes, in the order of the activations.
        embedding_size: Length of an embedding.
        engine: Name in ENGINES of what runs the graph.
        expected: What the reference gives for `transforms.engine_check.check_patches`;
            None if the engine needs no check.
    """

    name: str
    graph_path: str
    sha256: str
    input_node: str
    activations_node: str
    embeddings_node: str
    labels: tuple[str, ...]
    embedding_size: int
    engine: str = "essentia"
    expected: Prediction | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    def graph_file(self) -> pathlib.Path:
        """The graph as a local file, fetched if need be."""
        return local_copy(self.graph_path, self.sha256)

    def metadata_digest(self) -> str:
        """Short hash of what decides the results beside the graph."""
        nodes = (self.input_node, self.activations_node, self.embeddings_node)
        content = json.dumps([nodes, self.labels]).encode("utf-8")
        return hashlib.sha256(content).hexdigest()[:12]


class Engine(Protocol):
    """Runs one model."""

    def run(self, patches: FloatArray) -> Prediction:
        """Predicts every patch of one clip.

        Args:
            patches: float32 [num_patches, 101, 96], any strides.
        """


class EssentiaEngine:
    """Essentia's TensorflowPredict: bit-identical to the reference."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        # Beam may call one model from several threads; the TensorFlow session and
        # the Pool hand-over are not made for that.
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
        # Pool.set ignores strides without a word: it must get contiguous memory.
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


def _winograd(spec: ModelSpec) -> Engine:
    # numba takes half a second to import, and does not exist for every platform.
    from transforms.winograd.engine import WinogradEngine

    return WinogradEngine(spec)


ENGINES: dict[str, Callable[[ModelSpec], Engine]] = {
    "essentia": EssentiaEngine,
    "winograd": _winograd,
}
