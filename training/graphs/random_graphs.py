"""Writes graphs of the FSD-SINet architectures with random weights.

The graphs are for tests and benchmarks. They have the layers, sizes and node names of
real graphs, but know nothing about sounds.

Usage: python -m training.graphs.random_graphs bundled|full
"""

import argparse
import dataclasses
import pathlib

import numpy as np

from training.graphs.export import write_model
from training.graphs.sinet_graph import (
    FILTER_SIZE,
    NUM_CLASSES,
    Pooling,
    SinetWeights,
    channels,
)
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.engines.essentia import EssentiaEngine
from transforms.front_end.patches import PatchSpec, cut_patches, log_mel, normalise
from transforms.models.loading import load_model
from transforms.models.registry import published_labels

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Small graphs for tests, kept in the repository: path, width, pooling, seed.
BUNDLED: tuple[tuple[str, float, Pooling, int], ...] = (
    ("tests/data/random-tiny-tlpf.pb", 0.125, "tlpf", 1),
    ("tests/data/random-tiny-aps.pb", 0.125, "aps", 2),
    ("tests/data/random-tiny-tlpf_aps.pb", 0.125, "tlpf_aps", 3),
)
# Graphs for benchmarks, not kept in the repository: the architectures of the four
# published models, and VGG41 with APS.
FULL: tuple[tuple[str, float, Pooling, int], ...] = (
    ("build/models/random-vgg41-tlpf.pb", 1, "tlpf", 0),
    ("build/models/random-vgg41-aps.pb", 1, "aps", 4),
    ("build/models/random-vgg42-aps.pb", 2, "aps", 1),
    ("build/models/random-vgg42-tlpf.pb", 2, "tlpf", 2),
    ("build/models/random-vgg42-tlpf_aps.pb", 2, "tlpf_aps", 3),
)


def random_weights(width: float, seed: int) -> SinetWeights:
    """He-initialised convolutions, nearly uniform low-pass filters, and a wide head.

    The kernels of the first layer have a mean of zero, so that the layer responds to
    differences between log-mel values and not to their level.
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
    head = rng.standard_normal((blocks[-1], NUM_CLASSES)) * 2 / np.sqrt(blocks[-1])
    return SinetWeights(
        tuple(convolutions), tuple(split), (head, np.zeros(NUM_CLASSES))
    )


def centred(weights: SinetWeights, path: pathlib.Path) -> SinetWeights:
    """Subtracts the logits of a mean embedding of some sounds in the dense bias.

    Otherwise every clip would get the same labels, and many activations would be close
    to 0 or 1, where differences between engines do not show.

    Args:
        weights: Weights of the graph.
        path: Path of the graph, which is run to get the embeddings.
    """
    rng = np.random.default_rng(0)
    t = np.arange(SAMPLE_RATE_HZ * 2) / SAMPLE_RATE_HZ
    noise = rng.standard_normal(len(t))
    tones = [np.sin(2 * np.pi * f * t) for f in (110, 440, 1500, 5000)]
    sounds = [
        *tones,
        noise,
        noise * (t % 0.25 < 0.02),
        tones[1] * np.exp(-5 * t) + noise / 50,
    ]
    engine = EssentiaEngine(load_model(str(path)))
    embeddings = [
        engine.run(
            cut_patches(log_mel(normalise(x.astype(np.float32)))[0], PatchSpec())
        )
        for x in sounds
    ]
    mean = np.concatenate([e.embeddings for e in embeddings]).mean(axis=0)
    kernel, _ = weights.dense
    bias = -1.0 - mean.astype(np.float64) @ kernel
    return dataclasses.replace(weights, dense=(kernel, bias))


def write_graph(path: pathlib.Path, width: float, pooling: Pooling, seed: int) -> None:
    """Writes the graph and, beside it, its metadata in Essentia's format."""
    metadata = {
        "description": "FSD-SINet architecture with RANDOM weights; knows no sounds",
        "classes": list(published_labels()),
        "trained_classes": [],
    }
    weights = random_weights(width, seed)
    write_model(path, weights, pooling, metadata)
    write_model(path, centred(weights, path), pooling, metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["bundled", "full"])
    graphs = BUNDLED if parser.parse_args().which == "bundled" else FULL
    for path, width, pooling, seed in graphs:
        write_graph(ROOT / path, width, pooling, seed)
        print(f"{path}: {(ROOT / path).stat().st_size:,} bytes, random weights")


if __name__ == "__main__":
    main()
