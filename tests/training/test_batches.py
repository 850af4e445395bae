"""A batch depends on seed and number only, and marks labels true, false or unknown."""

import pathlib
from collections.abc import Sequence

import numpy as np
import pytest

from training.graphs.sinet_graph import PATCH_FRAMES
from training.network.batches import (
    Batch,
    Sounds,
    draw_batch,
    read_sounds,
    whole_patches,
)
from training.network.synthetic_mels import synthetic_log_mels
from training.recipes.recipe import Recipe
from training.recipes.rendered import CALIBRATION, RECIPES

HALF = (PATCH_FRAMES + 1) // 2
BY_NAME = {recipe.name: recipe for recipe in (*RECIPES, *CALIBRATION)}
NAMES = ("snare_drum", "church_bell", "bell", "whispering", "hum")


def write_mels(
    folder: pathlib.Path, name: str, num_clips: int = 2, num_frames: int = 130
) -> np.ndarray:
    """Writes a file with two versions, the second louder, and returns its log-mels."""
    clean = synthetic_log_mels(num_clips, num_frames, seed=len(name))
    mels = np.stack([clean, clean + 1]).astype(np.float16)
    np.savez(folder / f"{name}.npz", mels=mels, audio=np.zeros(3))
    return mels


def steady(names: Sequence[str], weights: Sequence[float] = ()) -> Sounds:
    """Sounds with one level in all frames and bands: recipe i has level i - 5."""
    recipes = tuple(BY_NAME[name] for name in names)
    mels = tuple(
        (np.full((1, 1, 120, 96), index - 5, np.float16),)
        for index in range(len(names))
    )
    labels = sorted({label for recipe in recipes for label in recipe.all_labels})
    return Sounds(recipes, mels, tuple(labels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("mels")
    for name in NAMES:
        write_mels(path, f"{name}-other")
    write_mels(path, "bell-fluid", num_clips=3)
    (path / "bell-fluid.123.partial").write_bytes(b"half")
    return path


@pytest.fixture(scope="module")
def sounds(folder: pathlib.Path) -> Sounds:
    return read_sounds([folder])


def row(sounds: Sounds, values: np.ndarray, index: int) -> set[str]:
    """The labels whose value in a row is not 0."""
    return {
        label
        for label, value in zip(sounds.labels, values[index], strict=True)
        if value
    }


def test_files_are_read_by_recipe(sounds: Sounds) -> None:
    assert {recipe.name for recipe in sounds.recipes} == set(NAMES)
    order = [RECIPES.index(recipe) for recipe in sounds.recipes]
    assert order == sorted(order)
    shapes = {
        recipe.name: [array.shape for array in files]
        for recipe, files in zip(sounds.recipes, sounds.mels, strict=True)
    }
    # Files are sorted by name: bell-fluid comes before bell-other.
    assert shapes["bell"] == [(2, 3, 130, 96), (2, 2, 130, 96)]
    assert shapes["church_bell"] == [(2, 2, 130, 96)]
    assert list(sounds.labels) == sorted(
        {label for name in NAMES for label in BY_NAME[name].all_labels}
    )


def test_calibration_sounds_are_read(tmp_path: pathlib.Path) -> None:
    write_mels(tmp_path, "recorded_strange-other")
    sounds = read_sounds([tmp_path])
    assert (sounds.recipes, sounds.labels) == (CALIBRATION, ())


def test_empty_folder_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="run training.render first"):
        read_sounds([tmp_path])


def test_whole_patches_are_the_clean_clips(tmp_path: pathlib.Path) -> None:
    mels = write_mels(tmp_path, "hum-other", num_frames=PATCH_FRAMES + 50)
    (recipe, first), (_, second) = whole_patches(read_sounds([tmp_path]))
    assert recipe == BY_NAME["hum"]
    assert first.shape == (2, PATCH_FRAMES, 96) and first.dtype == np.float32
    np.testing.assert_array_equal(first[0], mels[0, 0, :PATCH_FRAMES])
    np.testing.assert_array_equal(second[1], mels[0, 1, 50:])


def test_targets_and_known_are_those_of_the_recipes(sounds: Sounds) -> None:
    for index, recipe in enumerate(sounds.recipes):
        assert row(sounds, sounds.targets, index) == set(recipe.all_labels)
        unknown = row(sounds, 1 - sounds.known, index)
        assert unknown == set(recipe.unknown) & set(sounds.labels)


@pytest.mark.parametrize("num_frames", [HALF, PATCH_FRAMES])
def test_batch_has_its_shapes(sounds: Sounds, num_frames: int) -> None:
    batch = draw_batch(sounds, 7, 0, 0, num_frames)
    assert batch.patches.shape == (7, num_frames, 96, 1)
    for array in (batch.targets, batch.known):
        assert array.shape == (7, len(sounds.labels))
        assert set(np.unique(array)) <= {0, 1}
    for array in (batch.patches, batch.targets, batch.known):
        assert array.dtype == np.float32
    assert np.isfinite(batch.patches).all()
    assert -25 < batch.patches.min() and batch.patches.max() < 5


def arrays(batch: Batch) -> tuple[np.ndarray, ...]:
    return batch.patches, batch.targets, batch.known


def test_seed_and_number_decide_a_batch(sounds: Sounds) -> None:
    first = arrays(draw_batch(sounds, 8, 3, 5))
    draw_batch(sounds, 8, 3, 6)
    for ours, same in zip(first, arrays(draw_batch(sounds, 8, 3, 5)), strict=True):
        np.testing.assert_array_equal(ours, same)
    for seed, index in ((3, 6), (4, 5), (5, 3)):
        other = draw_batch(sounds, 8, seed, index)
        assert np.abs(first[0] - other.patches).max() > 0.1


def test_drawing_does_not_change_the_sounds(sounds: Sounds) -> None:
    before = [array.copy() for files in sounds.mels for array in files]
    targets, known = sounds.targets.copy(), sounds.known.copy()
    for index in range(5):
        draw_batch(sounds, 32, 0, index)
    after = [array for files in sounds.mels for array in files]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    np.testing.assert_array_equal(sounds.targets, targets)
    np.testing.assert_array_equal(sounds.known, known)


def state(recipe: Recipe, label: str) -> bool | None:
    """Whether a label is true for a recipe; None if unknown."""
    if label in recipe.all_labels:
        return True
    return None if label in recipe.unknown else False


def either(first: bool | None, second: bool | None) -> bool | None:
    """State of a label in a mixture of two sounds."""
    if True in (first, second):
        return True
    return None if None in (first, second) else False


def test_a_label_of_a_mixture_is_false_only_if_false_for_both_sounds(
    sounds: Sounds,
) -> None:
    pairs = [(a, b) for a in sounds.recipes for b in sounds.recipes]
    possible = {
        tuple(either(state(a, x), state(b, x)) for x in sounds.labels): {a, b}
        for a, b in pairs
    }
    seen = set()
    for index in range(20):
        batch = draw_batch(sounds, 32, 0, index, HALF)
        for targets, known in zip(batch.targets, batch.known, strict=True):
            truth = tuple(
                bool(target) if is_known else None
                for target, is_known in zip(targets, known, strict=True)
            )
            assert truth in possible
            assert not (targets * (1 - known)).any(), "a true label is not known"
            seen.add(truth)
    # All single sounds and nearly all mixtures were drawn.
    single = {tuple(state(a, x) for x in sounds.labels) for a in sounds.recipes}
    assert single < seen
    assert len(seen) > len(possible) - 3


def test_an_unknown_label_stays_unknown_unless_the_other_sound_has_it() -> None:
    """Some bells may be church bells; no snare drum is a church bell."""
    sounds = steady(["bell", "snare_drum"])
    label = "Church bell"
    sounds = Sounds(sounds.recipes, sounds.mels, (*sounds.labels, label))
    bell, church = sounds.labels.index("Bell"), sounds.labels.index(label)
    batch = draw_batch(sounds, 200, 0, 0, HALF)
    np.testing.assert_array_equal(batch.known[:, church], 1 - batch.targets[:, bell])
    assert not batch.targets[:, church].any()
    sounds = steady(["bell", "church_bell"])
    church = sounds.labels.index(label)
    batch = draw_batch(sounds, 200, 0, 0, HALF)
    np.testing.assert_array_equal(batch.known[:, church], batch.targets[:, church])
    assert 0.4 < batch.targets[:, church].mean() < 0.8


def test_targets_include_what_labels_imply(sounds: Sounds) -> None:
    batch = draw_batch(sounds, 64, 0, 0, HALF)
    column = sounds.labels.index
    snares = batch.targets[:, column("Snare drum")] == 1
    assert snares.any()
    for label in ("Drum", "Percussion", "Musical instrument", "Music"):
        assert batch.targets[snares, column(label)].all()


def test_sounds_without_labels_have_no_targets() -> None:
    sounds = steady(["snare_drum", "hum"])
    only = Sounds(sounds.recipes[1:], sounds.mels[1:], sounds.labels)
    batch = draw_batch(only, 16, 0, 0, HALF)
    assert not batch.targets.any()
    assert batch.known.all()


def test_heavier_recipes_are_drawn_more_often() -> None:
    names = ["snare_drum", "drum_kit", "clicks"]
    sounds = steady(names)
    np.testing.assert_allclose(sounds.chances, [1 / 3.5, 2 / 3.5, 0.5 / 3.5])
    kits = [draw_batch(sounds, 200, 0, index, HALF).targets for index in range(5)]
    share = np.mean([rows[:, sounds.labels.index("Drum kit")] for rows in kits])
    # Drawn alone, or as either part of the 4 of 10 patches that are mixtures.
    chance = 2 / 3.5
    expected = chance + 0.4 * (1 - chance) * chance
    assert abs(share - expected) < 0.05


def test_mixtures_add_powers() -> None:
    """A sound mixed with itself, with up to 6 dB of gain, is up to 7 dB louder."""
    batch = draw_batch(steady(["hum"]), 400, 0, 0, HALF)
    # These bands are hardly changed by the tilt, and are below the lowest band limit.
    levels = batch.patches[:, :, 44:52, 0].mean(axis=(1, 2)) + 5
    # A level of -1.5 to 0.4 and a little noise are added to every patch.
    assert -1.7 < levels.min() < -1.3
    assert 0.7 < levels.max() < 1.3
    unmixed_at_most = 0.45
    assert 0.02 < (levels > unmixed_at_most).mean() < 0.2


def test_crops_of_silence_are_drawn_again(tmp_path: pathlib.Path) -> None:
    """A sound in a tenth of a clip is in most crops."""
    mels = np.full((1, 1, 1000, 96), -12, np.float16)
    mels[:, :, 450:550] = 0
    sounds = Sounds((BY_NAME["hum"],), ((mels,),), ())
    batch = draw_batch(sounds, 200, 0, 0, HALF)
    heard = batch.patches.max(axis=(1, 2, 3)) > -4
    # One draw hits the sound with a probability of 0.16, six draws with 0.65; mixtures
    # have two sounds.
    assert 0.55 < heard.mean() < 0.95


def test_hours_are_those_of_clips_and_of_all_their_versions() -> None:
    mels = np.zeros((3, 5, 360, 96), np.float16)
    clips_h, mels_h = Sounds(RECIPES[:1], ((mels, mels),), ()).hours
    assert clips_h == pytest.approx(2 * 5 * 360 * 220 / 22050 / 3600)
    assert mels_h == pytest.approx(3 * clips_h)
