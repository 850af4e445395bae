"""Runs the commands of a short training, from synthesisers to activations."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from training.graphs.sinet_graph import PATCH_FRAMES
from training.network.synthetic_mels import synthetic_log_mels
from training.recipes.ontology import with_ancestors
from transforms.models.registry import published_labels

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAIN_PYTHON = ROOT / ".venv" / "bin" / "python"
MODEL = "fsd-sinet-vgg41-tlpf-demo"
# None of these needs festival; soundfonts play the first three.
LABELS = {
    "piano": "Piano",
    "drum_kit": "Drum kit",
    # Rain itself is not claimed.
    "rain": "Water",
    "whispering": "Whispering",
    "speech_synthesizer": "Speech synthesizer",
}


def run(python: str | pathlib.Path, *arguments: str | pathlib.Path) -> str:
    """Runs a module in the root of the project; skips if packages are missing."""
    completed = subprocess.run(
        [python, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    reason = completed.stderr.strip().rpartition("\n")[2]
    if completed.returncode == 2 and "needs Debian packages" in reason:
        pytest.skip(reason)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Log-mels of the held-out split, whose soundfonts are a tenth of the others' size.

    Training on held-out sounds is harmless here: the model is deleted and not scored.
    """
    folder = tmp_path_factory.mktemp("sounds") / "trained"
    options = ("--short", "--recipes", *LABELS, "--output")
    run(MAIN_PYTHON, "training.render", "held_out", *options, folder)
    return folder


@pytest.fixture(scope="module")
def model(
    rendered: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    sounds, output = rendered.parent, tmp_path_factory.mktemp("models")
    added = ("--short", "--recipes", "made_thunder", "made_calls", "--output")
    run(MAIN_PYTHON, "training.render", "added", *added, sounds / "added")
    unknown = synthetic_log_mels(2, PATCH_FRAMES + 20, seed=0)[np.newaxis]
    for split, name in (
        ("calibration", "recorded_strange"),
        ("added_calibration", "recorded_further_strange"),
    ):
        (sounds / split).mkdir()
        np.savez(sounds / split / f"{name}-other.npz", mels=unknown.astype(np.float16))
    options = ("--short", "--sounds", sounds, "--output", output)
    said = run(sys.executable, "training.train", MODEL, *options)
    assert said.count("step 12 of 12") == 2, "two phases"
    return output / MODEL / f"{MODEL}.pb"


@pytest.mark.slow
def test_recipes_are_rendered(rendered: pathlib.Path) -> None:
    names = {path.name for path in rendered.iterdir()}
    assert names == {
        *("piano-timgm.npz", "piano-gmbank.npz"),
        *("drum_kit-timgm.npz", "drum_kit-gmbank.npz", "rain-gmbank.npz"),
        *("whispering-other.npz", "speech_synthesizer-other.npz"),
    }
    for path in rendered.iterdir():
        with np.load(path) as arrays:
            mels, audio = arrays["mels"], arrays["audio"]
        assert mels.dtype == np.float16 and audio.dtype == np.float32
        # One version, clips of 4 s in frames of 10 ms.
        num_clips = 3 if "other" in path.name else 1
        assert mels.shape == (1, num_clips, mels.shape[2], 96)
        assert abs(mels.shape[2] - 400) < 5
        assert audio.shape == (num_clips, 4 * 22050)
        assert np.abs(audio).max() > 1e-3
        assert np.ptp(mels.max(axis=-1)) > 0.5, "the level of a clip never changes"


@pytest.mark.slow
def test_trained_model_runs_in_essentia(
    rendered: pathlib.Path, model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    metadata = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    trained = metadata["trained_classes"]
    assert {*trained} >= {*LABELS.values()}
    assert {*trained} >= {name for x in LABELS.values() for name in with_ancestors(x)}
    assert not {"Bark", "Rain"} & {*trained}
    assert metadata["classes"] == list(published_labels())
    patches = [
        np.load(path)["mels"][0, 0, :PATCH_FRAMES] for path in rendered.iterdir()
    ]
    np.save(tmp_path / "patches.npy", np.stack(patches).astype(np.float32))
    files = (model, tmp_path / "patches.npy", tmp_path / "out.npz")
    run(MAIN_PYTHON, "training.tests.essentia_forward", *files)
    with np.load(tmp_path / "out.npz") as arrays:
        activations, embeddings = arrays["activations"], arrays["embeddings"]
    assert activations.shape == (len(patches), 200)
    assert embeddings.shape == (len(patches), 64)
    assert np.isfinite(activations).all() and np.isfinite(embeddings).all()
    indices = [metadata["classes"].index(name) for name in trained]
    assert np.delete(activations, indices, axis=1).max() < 1e-4
    heard = activations[:, indices]
    assert 0 < heard.min() and heard.max() < 1
    assert heard.max(axis=0).min() > 1e-4, "a trained label never scores"
    assert np.ptp(heard, axis=0).max() > 1e-4, "all sounds get the same scores"
