"""A training depends on its seed only, also if it is stopped, and reduces the loss."""

import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from training.graphs.sinet_graph import PATCH_FRAMES
from training.network.batches import Sounds
from training.network.model import build_network
from training.recipes.rendered import RECIPES
from training.tests.small_training import NAME, PLAN, SAVED, small_sounds
from training.train import (
    MODELS,
    Training,
    TrainingPlan,
    learning_rate,
    num_frames,
    shortened,
    train,
)
from transforms.models.registry import published_labels

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
Both = tuple[Sounds, Sounds]


@pytest.fixture(scope="module", autouse=True)
def determinism() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return small_sounds(tmp_path_factory.mktemp("mels"))


@pytest.fixture(scope="module")
def undisturbed(sounds: Both, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The graph of a training that was not stopped."""
    return trained(sounds, tmp_path_factory.mktemp("undisturbed"))


def trained(sounds: Both, folder: pathlib.Path, plan: TrainingPlan = PLAN) -> bytes:
    train(NAME, plan, *sounds, folder)
    return (folder / f"{NAME}.pb").read_bytes()


def weights(training: Training) -> list[np.ndarray]:
    values: list[np.ndarray] = training.network.get_weights()
    return values


def test_the_graph_depends_on_the_seed_only(
    sounds: Both, undisturbed: bytes, tmp_path: pathlib.Path
) -> None:
    assert trained(sounds, tmp_path / "same") == undisturbed
    other = dataclasses.replace(PLAN, seed=6)
    assert trained(sounds, tmp_path / "other", other) != undisturbed


def test_weights_and_losses_are_the_same_bits(
    sounds: Both, tmp_path: pathlib.Path
) -> None:
    runs = [Training(PLAN, sounds[0], tmp_path / name) for name in "ab"]
    start = weights(runs[0])
    first, second = (list(training.run()) for training in runs)
    assert first == second
    assert len(first) == PLAN.num_steps
    for ours, theirs in zip(*map(weights, runs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pairs = zip(start, weights(runs[0]), strict=True)
    assert all(not np.array_equal(before, after) for before, after in pairs)


@pytest.mark.parametrize("num_steps", [3, 6])
def test_stopped_training_gives_the_same_graph(
    sounds: Both, undisturbed: bytes, tmp_path: pathlib.Path, num_steps: int
) -> None:
    """Stops before and after the change of patch length, beyond and at a checkpoint."""
    first = Training(PLAN, sounds[0], tmp_path)
    assert len(list(itertools.islice(first.run(), num_steps))) == num_steps
    assert first.step == num_steps
    second = Training(PLAN, sounds[0], tmp_path)
    assert second.step == num_steps // 2 * 2
    assert trained(sounds, tmp_path) == undisturbed


def test_killed_training_gives_the_same_graph(
    sounds: Both, undisturbed: bytes, tmp_path: pathlib.Path
) -> None:
    command = [sys.executable, "-m", "training.tests.small_training", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        child.kill()
    assert said.strip() == SAVED
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / f"{NAME}.pb").exists()
    assert Training(PLAN, sounds[0], tmp_path).step == 4
    assert trained(sounds, tmp_path) == undisturbed


def test_finished_training_writes_the_same_model_again(
    sounds: Both, tmp_path: pathlib.Path, undisturbed: bytes
) -> None:
    trained(sounds, tmp_path)
    (tmp_path / f"{NAME}.pb").unlink()
    assert not list(Training(PLAN, sounds[0], tmp_path).run())
    assert trained(sounds, tmp_path) == undisturbed


def test_metadata_names_the_trained_labels(
    sounds: Both, tmp_path: pathlib.Path
) -> None:
    trained(sounds, tmp_path)
    metadata = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert metadata["classes"] == list(published_labels())
    assert metadata["trained_classes"] == list(sounds[0].labels)
    assert {"Piano", "Snare drum", "Drum", "Music"} <= {*metadata["trained_classes"]}


def test_learning_rate_rises_and_falls_to_nothing() -> None:
    plan = TrainingPlan(1, "tlpf", num_steps=1000, learning_rate=0.01)
    rates = [learning_rate(plan, step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02 * 0.01)
    assert rates[1000] == pytest.approx(0, abs=1e-12)
    highest = int(np.argmax(rates))
    assert 50 < highest <= 60
    assert 0.99 * 0.01 < rates[highest] < 0.01
    assert (np.diff(rates[: highest + 1]) > 0).all()
    assert (np.diff(rates[highest:]) < 0).all()
    assert rates[500] == pytest.approx(0.005)


def test_patch_length_changes_once() -> None:
    plan = TrainingPlan(1, "tlpf", num_steps=20, short_part=0.65)
    lengths = [num_frames(plan, step) for step in range(20)]
    assert lengths == [51] * 13 + [PATCH_FRAMES] * 7
    never = dataclasses.replace(plan, short_part=0)
    assert num_frames(never, 0) == PATCH_FRAMES


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_and_accepts_both_patch_lengths(name: str) -> None:
    for plan in (shortened(MODELS[name]), MODELS[name]):
        network = build_network(
            plan.width,
            plan.pooling,
            80,
            patch_frames=None,
            taps_start="binomial",
        )
        for length in (51, PATCH_FRAMES):
            logits, embedding = network(np.zeros((1, length, 96, 1), np.float32))
            assert logits.shape == (1, 80)
            assert embedding.shape == (1, round(256 * plan.width))
    short = shortened(MODELS[name])
    assert short.num_steps < 20 < MODELS[name].num_steps
    steps = range(short.num_steps)
    assert {num_frames(short, step) for step in steps} == {51, PATCH_FRAMES}


def test_loss_falls_on_sounds_that_are_easy_to_distinguish(
    tmp_path: pathlib.Path,
) -> None:
    """Uses a piano of low bands, a snare drum of high bands, and a hum of no band."""
    chosen = ("piano", "snare_drum", "hum")
    recipes = tuple(recipe for recipe in RECIPES if recipe.name in chosen)
    mels = np.full((3, 1, 2, 120, 96), -6, np.float16)
    mels[[r.name == "piano" for r in recipes], ..., 5:20] = 0
    mels[[r.name == "snare_drum" for r in recipes], ..., 60:80] = 0
    labels = sorted({label for recipe in recipes for label in recipe.all_labels})
    sounds = Sounds(recipes, tuple((array,) for array in mels), tuple(labels))
    plan = TrainingPlan(0.125, "tlpf", 40, batch_size=16, learning_rate=5e-3)
    losses = list(Training(plan, sounds, tmp_path).run())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
