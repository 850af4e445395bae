"""Draws training patches: crops of log-mels, mixed and distorted, with their labels.

Batch i of a seed is always the same, so that a stopped training can continue.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from training.graphs.sinet_graph import NUM_MELS, PATCH_FRAMES
from training.recipes.recipe import Recipe
from training.recipes.rendered import ALL_RECIPES, TRAINED_LABELS

Array = np.ndarray
Random = np.random.Generator

_LOG2_OF_10 = np.float32(np.log2(10))
# A crop is silent if its loudest band is this far (in log10 of power) below the loudest
# band of the clip.
_QUIET = 2.5
# A frame has 220 samples at 22,050 Hz, as in Essentia's extractor.
_FRAMES_AN_HOUR = 3600 * 22050 / 220


@dataclasses.dataclass(frozen=True)
class Batch:
    """Patches and their labels.

    Attributes:
        patches: float32 [batch, num_frames, 96, 1].
        targets: float32 [batch, num_labels], 0 or 1.
        known: float32 [batch, num_labels], 1 where the target is known, else 0.
    """

    patches: Array
    targets: Array
    known: Array


@dataclasses.dataclass(frozen=True)
class Sounds:
    """Log-mels of one or more splits.

    Attributes:
        recipes: Recipes that have log-mels.
        mels: For each recipe the contents of its files, each float16
            [versions, clips, frames, 96]; version 0 is the clean version.
        labels: Names of the targets.
    """

    recipes: tuple[Recipe, ...]
    mels: tuple[tuple[Array, ...], ...]
    labels: tuple[str, ...]

    @property
    def hours(self) -> tuple[float, float]:
        """Hours of clips, and hours of log-mels in all versions of the clips."""
        arrays = [array for files in self.mels for array in files]
        clips = sum(array.shape[1] * array.shape[2] for array in arrays)
        mels = sum(math.prod(array.shape[:3]) for array in arrays)
        return clips / _FRAMES_AN_HOUR, mels / _FRAMES_AN_HOUR

    @functools.cached_property
    def targets(self) -> Array:
        """float32 [num_recipes, num_labels]."""
        return _indicator([r.all_labels for r in self.recipes], self.labels)

    @functools.cached_property
    def known(self) -> Array:
        """float32 [num_recipes, num_labels], 1 where the target is known, else 0."""
        unknown = _indicator([r.unknown for r in self.recipes], self.labels)
        return np.maximum(1 - unknown, self.targets)

    @functools.cached_property
    def chances(self) -> Array:
        """Probability of each recipe to be drawn."""
        weights = np.array([recipe.weight for recipe in self.recipes])
        return weights / weights.sum()


def read_sounds(folders: Sequence[pathlib.Path]) -> Sounds:
    """Reads the log-mels that `training.render` wrote for one or more splits.

    Args:
        folders: Folder of each split.

    Raises:
        FileNotFoundError: if a folder has no log-mels.
    """
    found: dict[Recipe, tuple[Array, ...]] = {}
    for folder in folders:
        number = len(found)
        for recipe in ALL_RECIPES:
            paths = sorted(folder.glob(f"{recipe.name}-*.npz"))
            if paths:
                found[recipe] = tuple(np.load(path)["mels"] for path in paths)
        if len(found) == number:
            raise FileNotFoundError(
                f"no log-mels in {folder}: run training.render first"
            )
    learnt = {label for recipe in found for label in recipe.all_labels}
    labels = [label for label in TRAINED_LABELS if label in learnt]
    return Sounds(tuple(found), tuple(found.values()), tuple(labels))


def draw_batch(
    sounds: Sounds, size: int, seed: int, index: int, num_frames: int = PATCH_FRAMES
) -> Batch:
    """Draws batch `index` of a seed: 4 of 10 patches are mixtures of two sounds.

    Args:
        sounds: Sounds to draw from.
        size: Number of patches.
        seed: Seed of the training.
        index: Number of the batch.
        num_frames: Frames of a patch.
    """
    rng = np.random.default_rng([seed, index])
    patches, targets, known = _draw_crops(sounds, size, num_frames, rng)
    patches += rng.uniform(-0.5, 0.5, (size, 1, 1)).astype(np.float32) * _TILT
    mixed = rng.random(size) < 0.4
    others, other_targets, other_known = _draw_crops(
        sounds, int(mixed.sum()), num_frames, rng
    )
    patches[mixed] = _mix(patches[mixed], others, rng)
    # A label of a mixture is known to be false only if it is known to be false for both
    # sounds.
    both_known = np.minimum(known[mixed], other_known)
    targets[mixed] = np.maximum(targets[mixed], other_targets)
    known[mixed] = np.maximum(both_known, targets[mixed])
    patches = _disturb(patches, rng)
    return Batch(patches[..., np.newaxis], targets, known)


def whole_patches(sounds: Sounds) -> Iterator[tuple[Recipe, Array]]:
    """Yields the recipe and the clean patches, float32 [num_patches, 101, 96], of every
    clip."""
    for recipe, files in zip(sounds.recipes, sounds.mels, strict=True):
        for versions in files:
            for clip in versions[0].astype(np.float32):
                starts = range(0, len(clip) - PATCH_FRAMES + 1, PATCH_FRAMES // 2)
                yield recipe, np.stack([clip[s : s + PATCH_FRAMES] for s in starts])


_TILT = np.linspace(-1, 1, NUM_MELS, dtype=np.float32)


def _draw_crops(
    sounds: Sounds, size: int, num_frames: int, rng: Random
) -> tuple[Array, Array, Array]:
    drawn = rng.choice(len(sounds.recipes), size=size, p=sounds.chances)
    patches = np.empty((size, num_frames, NUM_MELS), np.float32)
    for patch, recipe in zip(patches, drawn, strict=True):
        patch[:] = _crop(sounds.mels[recipe], num_frames, rng)
    return patches, sounds.targets[drawn], sounds.known[drawn]


def _crop(files: Sequence[Array], num_frames: int, rng: Random) -> Array:
    """A crop that is not silent (if six draws find one).

    Half of the crops come from the clean version, the others from any version.
    """
    versions = files[int(rng.integers(len(files)))]
    clips = versions[int(rng.integers(len(versions))) if rng.random() < 0.5 else 0]
    clip = clips[int(rng.integers(len(clips)))]
    loudest = float(clip.max())
    for _ in range(6):
        start = int(rng.integers(len(clip) - num_frames + 1))
        crop = clip[start : start + num_frames]
        if float(crop.max()) > loudest - _QUIET:
            break
    return crop


def _mix(patches: Array, others: Array, rng: Random) -> Array:
    """Adds the powers of other sounds, with peaks 12 dB weaker to 6 dB stronger."""
    gain = rng.uniform(-1.2, 0.6, (len(patches), 1, 1)).astype(np.float32)
    level = _peak(patches) - _peak(others) + gain
    return _log10(_exp10(patches) + _exp10(others + level))


def _disturb(patches: Array, rng: Random) -> Array:
    """Changes pitch, noise floor, band limit and level, each a little and at random."""
    size = len(patches)
    for index in np.flatnonzero(rng.random(size) < 0.3):
        patches[index] = np.roll(patches[index], int(rng.integers(-2, 3)), axis=1)
    slope = rng.uniform(-2.5, 1.0, (size, 1, 1)).astype(np.float32)
    shape = slope * np.linspace(0, 1, NUM_MELS, dtype=np.float32)
    floor = rng.uniform(-8, -2, (size, 1, 1)).astype(np.float32)
    # The log-power of a band of noise in one frame scatters by about 0.24.
    scatter = np.float32(0.24) * rng.standard_normal(patches.shape, dtype=np.float32)
    noise = _peak(patches) + floor + shape - shape.max(axis=2, keepdims=True)
    patches = _log10(_exp10(patches) + _exp10(noise + scatter))
    for index in np.flatnonzero(rng.random(size) < 0.15):
        first = int(rng.integers(55, 92))
        fall = np.minimum(3, 0.5 * np.arange(NUM_MELS - first, dtype=np.float32))
        patches[index, :, first:] -= fall
    return patches + rng.uniform(-1.5, 0.4, (size, 1, 1)).astype(np.float32)


def _peak(patches: Array) -> Array:
    return patches.max(axis=(1, 2), keepdims=True, initial=-30)


def _exp10(values: Array) -> Array:
    return np.exp2(values * _LOG2_OF_10)


def _log10(values: Array) -> Array:
    return np.log2(np.maximum(values, np.float32(1e-30))) / _LOG2_OF_10


def _indicator(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> Array:
    result = np.zeros((len(rows), len(labels)), np.float32)
    for row, names in zip(result, rows, strict=True):
        row[[labels.index(name) for name in names if name in labels]] = 1
    return result
