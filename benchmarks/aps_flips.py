"""How often adaptive polyphase sampling chooses otherwise than in Essentia.

Where two of the four phases are nearly equally strong, a difference in the last bits
decides. Usage: python -m benchmarks.aps_flips [--patches N] [--model PATH]
"""

import argparse

import numpy as np

from benchmarks.corpora import varied_sound
from benchmarks.machine import ROOT, save
from pipeline.models import load_model
from transforms.engine_check import patches_of
from transforms.engines import ENGINES

SMALL = ROOT / "tests" / "data" / "random-tiny-aps.pb"
_CLIP_S, _RATE_HZ = 10.0, 22050
# Differences of a patch in which every choice was the same are below the first.
_LEVELS = (1e-5, 1e-4, 1e-3, 1e-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=20_000)
    parser.add_argument("--model", default=str(SMALL))
    arguments = parser.parse_args()
    spec = load_model(arguments.model)
    reference, ours = ENGINES["essentia"](spec), ENGINES["winograd"](spec)
    largest: list[float] = []
    while len(largest) < arguments.patches:
        sound = varied_sound(round(_CLIP_S * _RATE_HZ), _RATE_HZ, 1, len(largest))
        patches = patches_of(sound[0].astype(np.float32))
        actual, expected = ours.run(patches), reference.run(patches)
        differences = np.abs(actual.activations - expected.activations)
        largest += differences.max(axis=1).tolist()
    found = np.array(largest)
    save(
        f"aps-flips-{spec.name}",
        {
            "patches": len(found),
            "largest_difference": float(found.max()),
            "patches_that_differ_by_more": {
                f"{level:g}": int((found > level).sum()) for level in _LEVELS
            },
        },
    )


if __name__ == "__main__":
    main()
