"""Checks that a trained model and its exported graph give the same activations.

Usage: python -m training.export_check essentia MODEL.pb  (in the main environment)
       python -m training.export_check keras NAME         (in the training environment)

The first command runs Essentia's TensorflowPredictFSDSINet on 20 held-out clips and
saves their patches and activations. The second command runs the network of the last
checkpoint on these patches and writes MODEL.check.json with the largest difference.
"""

import argparse
import json
import pathlib

import numpy as np

from training.graphs.export import label_indices
from training.recipes.rendered import TRAINED_LABELS

FOLDER = pathlib.Path("build/training")
NUM_CLIPS = 20
TOLERANCE = 1e-5


def run_essentia(model: pathlib.Path, held_out: pathlib.Path) -> pathlib.Path:
    """Writes patches and activations of one clip of each of 20 held-out files.

    Clips with silent frames are skipped, because Essentia adds random noise to silent
    frames.
    """
    # Imported here, because Essentia's TensorFlow and the training environment's
    # TensorFlow cannot be loaded in one process.
    from transforms.essentia_import import essentia_standard
    from transforms.front_end.patches import PatchSpec, cut_patches, log_mel, normalise

    predict = essentia_standard().TensorflowPredictFSDSINet(graphFilename=str(model))
    patches: list[np.ndarray] = []
    activations: list[np.ndarray] = []
    for path in sorted(held_out.glob("*.npz")):
        samples = np.load(path)["audio"][0]
        mel, num_silent = log_mel(normalise(samples))
        if not num_silent and len(patches) < NUM_CLIPS:
            patches.append(cut_patches(mel, PatchSpec(last_patch="discard")))
            activations.append(np.asarray(predict(samples)))
    if len(patches) < NUM_CLIPS:
        raise SystemExit(
            f"clips without silence in {held_out}: got {len(patches)}, expected "
            f"{NUM_CLIPS}; run training.render held_out first"
        )
    output = model.with_suffix(".check.npz")
    np.savez(
        output, patches=np.concatenate(patches), activations=np.concatenate(activations)
    )
    return output


def compare_with_keras(name: str) -> float:
    """Largest difference between an activation in Keras and in Essentia."""
    from training.network.batches import Sounds, read_sounds
    from training.train import MODELS, Training, calibrate

    folder = FOLDER / name
    with np.load(folder / f"{name}.check.npz") as arrays:
        patches, theirs = arrays["patches"], arrays["activations"]
    plan = MODELS[name]
    training = Training(plan, Sounds((), (), TRAINED_LABELS), folder)
    kept = read_sounds([FOLDER / split for split in plan.calibration])
    calibrate(training.network, TRAINED_LABELS, kept, plan)
    logits, _ = training.network(patches[..., np.newaxis], training=False)
    ours = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    theirs = theirs[:, label_indices(TRAINED_LABELS)]
    return float(np.abs(ours - theirs).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    essentia = steps.add_parser("essentia")
    essentia.add_argument("model", type=pathlib.Path)
    essentia.add_argument("--held-out", type=pathlib.Path, default=FOLDER / "held_out")
    steps.add_parser("keras").add_argument("name")
    arguments = parser.parse_args()
    if arguments.step == "essentia":
        print(run_essentia(arguments.model, arguments.held_out))
        return
    difference = compare_with_keras(arguments.name)
    path = FOLDER / arguments.name / f"{arguments.name}.check.json"
    result = {"num_clips": NUM_CLIPS, "largest_difference": difference}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{NUM_CLIPS} clips, largest difference {difference:.1e}: {path}")
    if difference > TOLERANCE:
        raise SystemExit(
            f"export check failed: got a difference of {difference:.1e}, expected at "
            f"most {TOLERANCE:.0e}"
        )


if __name__ == "__main__":
    main()
