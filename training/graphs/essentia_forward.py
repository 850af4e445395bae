"""Runs a graph in Essentia on patches: the other side of tests of exported graphs.

In a process of its own, because Essentia brings a TensorFlow that cannot share one with
the TensorFlow that trains. Usage, with the environment that has Essentia:
python -m training.graphs.essentia_forward MODEL.pb PATCHES.npy OUT.npz
"""

import argparse

import numpy as np

from transforms.engines.essentia import EssentiaEngine
from transforms.models.loading import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("patches", help="float32 [num_patches, 101, 96]")
    parser.add_argument("output", help="gets arrays activations and embeddings")
    arguments = parser.parse_args()
    engine = EssentiaEngine(load_model(arguments.model))
    prediction = engine.run(np.load(arguments.patches))
    np.savez(
        arguments.output,
        activations=prediction.activations,
        embeddings=prediction.embeddings,
    )


if __name__ == "__main__":
    main()
