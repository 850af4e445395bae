"""Defines what an engine gets and gives: ModelSpec, and the protocol Engine.

A worker process builds an Engine from a ModelSpec once and calls it for every clip.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Protocol

from transforms.elements import FloatArray, Prediction
from transforms.storage import local_copy

# Formats in which an engine may compute. Only `torch` knows others than the first. With
# each, the largest allowed difference of an activation from the reference. For
# embeddings, the difference is divided by the largest embedding value. docs/torch.md
# has what was measured; with random weights, bfloat16 differed by up to 0.08.
TOLERANCES = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 0.15}
PRECISIONS = tuple(TOLERANCES)
DEFAULT_PRECISION = "float32"


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model as the workers need it. Read at launch by `transforms.models.loading`.

    Attributes:
        name: Name of the model in the output (`model=<name>`).
        graph_path: Path or uri of the frozen graph (.pb), readable by every worker.
        sha256: Hash of the graph file.
        input_node: Name of the node that takes float32 [batch, 101, 96, 1].
        activations_node: Name of the node that gives float32 [batch, num_classes].
        embeddings_node: Name of the node that gives float32 [batch, embedding_size].
        labels: Names of the classes, in the order of the activations.
        embedding_size: Length of an embedding.
        engine: Name, in ENGINES, of the engine that runs the graph.
        precision: One of PRECISIONS, in which the engine computes.
        expected: The reference's prediction for `agreement.check_patches`; None if the
            engine needs no check.
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
    precision: str = DEFAULT_PRECISION
    expected: Prediction | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    def graph_file(self) -> pathlib.Path:
        """Path of the graph as a local file; a remote graph is fetched first."""
        return local_copy(self.graph_path, self.sha256)

    @property
    def engine_text(self) -> str:
        """The engine, and its precision if it is not float32."""
        is_default = self.precision == DEFAULT_PRECISION
        return self.engine if is_default else f"{self.engine} {self.precision}"

    @property
    def tolerance(self) -> float:
        """Largest allowed difference from the reference, which is itself an engine."""
        return 0.0 if self.engine == "essentia" else TOLERANCES[self.precision]

    def metadata_digest(self) -> str:
        """Short hash of everything but the graph that decides the results."""
        nodes = (self.input_node, self.activations_node, self.embeddings_node)
        content = json.dumps([nodes, self.labels]).encode("utf-8")
        return hashlib.sha256(content).hexdigest()[:12]


class Engine(Protocol):
    """Runs one model."""

    def run(self, patches: FloatArray) -> Prediction:
        """Predicts every patch. The result of a patch must not depend on the others.

        Args:
            patches: float32 [num_patches, 101, 96], any strides.
        """


def patches_at_once(engine: Engine) -> int:
    """Number of patches that `run` should get in one call, if need be of several clips.

    It is the attribute `run_patches` of the engine. An engine without it gets one clip.
    """
    return getattr(engine, "run_patches", 1)


def uses_device(engine: Engine) -> bool:
    """Whether `run` waits for a device, without a core and without Python's lock.

    It is the attribute `uses_device` of the engine; an engine without it computes on a
    core. A worker prepares its next shard while a device computes. `run` is then called
    in another thread than the one that made the engine, and never twice at a time.
    """
    return bool(getattr(engine, "uses_device", False))
