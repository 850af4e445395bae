"""Runs a graph in Essentia on patches, for tests of exported graphs.

The tests start this module in a process of its own with the main environment, because
Essentia's TensorFlow and the training environment's TensorFlow cannot be loaded in one
process.

Usage: python -m training.tests.essentia_forward MODEL.pb PATCHES.npy OUT.npz
"""

import argparse

import numpy as np

from transforms.engines.essentia import EssentiaEngine
from transforms.models.loading import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("patches", help="float32 [num_patches, 101, 96]")
    parser.add_argument("output", help="file for the arrays activations and embeddings")
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
