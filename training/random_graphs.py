"""Writes graphs of the FSD-SINet architectures with random weights.

They have the right layers, sizes and node names and know nothing about sounds: for
tests, benchmarks and the demo. Usage: python -m training.random_graphs bundled|full
"""

import argparse
import json
import pathlib

import numpy as np

from pipeline.models import published_labels
from training.sinet_graph import (
    FILTER_SIZE,
    NUM_CLASSES,
    Pooling,
    SinetWeights,
    build_graph,
    channels,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Small graphs kept in the repository: path, width, pooling.
BUNDLED: tuple[tuple[str, float, Pooling], ...] = (
    ("demo/random-vgg4-narrow-tlpf.pb", 0.25, "tlpf"),
    ("tests/data/random-tiny-tlpf.pb", 0.125, "tlpf"),
    ("tests/data/random-tiny-aps.pb", 0.125, "aps"),
    ("tests/data/random-tiny-tlpf_aps.pb", 0.125, "tlpf_aps"),
)
# The architectures of the four published models, for benchmarks; not kept.
FULL: tuple[tuple[str, float, Pooling], ...] = (
    ("build/models/random-vgg41-tlpf.pb", 1, "tlpf"),
    ("build/models/random-vgg42-aps.pb", 2, "aps"),
    ("build/models/random-vgg42-tlpf.pb", 2, "tlpf"),
    ("build/models/random-vgg42-tlpf_aps.pb", 2, "tlpf_aps"),
)


def random_weights(width: float, seed: int) -> SinetWeights:
    """He-initialised convolutions, near-uniform low-pass filters, a spread-out head.

    The first layer has zero-mean kernels, so that it answers to differences between
    log-mel values and not to their level: clips get different activations, most of
    them off 0 and 1, where errors would not show.
    """
    rng = np.random.default_rng(seed)
    first, *blocks = channels(width)
    outputs = [first, *(c for c in blocks for _ in range(2))]
    convolutions: list[tuple[np.ndarray, np.ndarray]] = []
    for inputs, size in zip([1, *outputs], outputs, strict=False):
        kernel = rng.standard_normal((3, 3, inputs, size)) * np.sqrt(2 / (9 * inputs))
        if not convolutions:
            kernel -= kernel.mean(axis=(0, 1))
        convolutions.append((kernel, rng.standard_normal(size) * 0.1))
    logits = rng.standard_normal((FILTER_SIZE**2, sum(blocks[:3]))) * 0.3
    taps = np.exp(logits) / np.exp(logits).sum(axis=0)
    split = np.split(
        taps.reshape(FILTER_SIZE, FILTER_SIZE, -1), np.cumsum(blocks[:2]), axis=-1
    )
    head = rng.standard_normal((blocks[-1], NUM_CLASSES)) / np.sqrt(blocks[-1])
    return SinetWeights(
        tuple(convolutions), tuple(split), (head, np.full(NUM_CLASSES, -1.0))
    )


def write_graph(path: pathlib.Path, width: float, pooling: Pooling, seed: int) -> None:
    """Writes the graph and, beside it, its metadata in Essentia's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build_graph(random_weights(width, seed), pooling))
    embedding_size = channels(width)[-1]
    metadata = {
        "name": path.stem,
        "type": "multi-label classifier",
        "version": "1",
        "description": "FSD-SINet architecture with RANDOM weights; knows no sounds",
        "framework": "tensorflow",
        "classes": list(published_labels()),
        "schema": {
            "inputs": [{"name": "x", "type": "float", "shape": ["batch", 101, 96, 1]}],
            "outputs": [
                _output("model/predictions/Sigmoid", "predictions", NUM_CLASSES),
                _output("model/global_max_pooling1d/Max", "embeddings", embedding_size),
            ],
        },
        "inference": {
            "sample_rate": 22050,
            "algorithm": "TensorflowPredictFSDSINet",
        },
    }
    path.with_suffix(".json").write_text(json.dumps(metadata, indent=1) + "\n")


def _output(name: str, purpose: str, size: int) -> dict[str, object]:
    shape = ["batch", size]
    return {"name": name, "type": "float", "shape": shape, "output_purpose": purpose}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["bundled", "full"])
    graphs = BUNDLED if parser.parse_args().which == "bundled" else FULL
    for seed, (path, width, pooling) in enumerate(graphs):
        write_graph(ROOT / path, width, pooling, seed)
        print(f"{path}: {(ROOT / path).stat().st_size:,} bytes, random weights")


if __name__ == "__main__":
    main()
