"""Changes are right for networks whose changes are known, and for made results.

With circular shifts and circular padding, a network with adaptive polyphase sampling
does not change. A network that keeps every second maximum does, and one with low-pass
filters changes less (arXiv 2107.00623).
"""

import dataclasses
import pathlib

import numpy as np
import pytest

from pipeline.results.shift_test.changes import (
    MEASURES,
    Changes,
    ShiftedClips,
    measure_changes,
)
from pipeline.results.shift_test.summary import Summary, SummarySettings, sum_up
from training.network.synthetic_mels import synthetic_log_mels
from transforms.engines.network import (
    Convolution,
    Network,
    Subsampling,
    read_network_of,
)
from transforms.models.loading import load_model

TIME, FREQUENCY = 1, 2
# Three subsamplings by 2 divide 96 without a remainder.
NUM_FRAMES = 96
# Changes of an embedding of float64 that are rounding only.
ROUNDING = 1e-12


@pytest.fixture(scope="module")
def network(tiny_model: pathlib.Path) -> Network:
    return read_network_of(load_model(str(tiny_model)))


def with_pooling(network: Network, has_filters: bool, is_adaptive: bool) -> Network:
    """The same weights with another subsampling."""
    layers = (
        Subsampling(layer.taps if has_filters else None, is_adaptive)
        for layer in network.subsamplings
    )
    return dataclasses.replace(network, subsamplings=tuple(layers))


def moved(x: np.ndarray, size: int) -> list[tuple[int, int, np.ndarray]]:
    """The values under each place of a window, with circular padding."""
    before = (size - 1) // 2
    return [
        (i, j, np.roll(x, (before - i, before - j), (1, 2)))
        for i in range(size)
        for j in range(size)
    ]


def largest(x: np.ndarray, size: int) -> np.ndarray:
    return np.maximum.reduce([values for *_, values in moved(x, size)])


def convolve(x: np.ndarray, layer: Convolution) -> np.ndarray:
    kernel = layer.kernel
    total = sum(values @ kernel[i, j] for i, j, values in moved(x, 3))
    return np.maximum(total + layer.bias, 0)


def subsample(x: np.ndarray, layer: Subsampling) -> np.ndarray:
    x = largest(x, 2)
    if layer.taps is not None:
        x = np.sum([values * layer.taps[i, j] for i, j, values in moved(x, 5)], axis=0)
    starts = ((0, 0), (1, 0), (0, 1), (1, 1)) if layer.is_adaptive else ((0, 0),)
    grids = np.stack([x[:, t::2, f::2] for t, f in starts], axis=1)
    strongest = np.abs(grids).sum(axis=(2, 3, 4)).argmax(axis=1)
    return grids[np.arange(len(x)), strongest]


def run(network: Network, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations and embeddings by a network with circular padding."""
    first, *layers = network.convolutions
    x = convolve(patches[..., np.newaxis].astype(float), first)
    for index, subsampling in enumerate(network.subsamplings):
        x = largest(convolve(x, layers[2 * index]), 3)
        x = subsample(convolve(x, layers[2 * index + 1]), subsampling)
    for layer in layers[-2:]:
        x = convolve(x, layer)
    embeddings = x.mean(axis=2).max(axis=1)
    weights, bias = network.dense
    return 1 / (1 + np.exp(-(embeddings @ weights + bias))), embeddings


def circular_changes(network: Network, axis: int, num_shifts: int) -> dict[str, float]:
    """The mean of each measure over patches and circular shifts."""
    patches = synthetic_log_mels(4, NUM_FRAMES, seed=0)
    shifted = [np.roll(patches, shift, axis) for shift in range(num_shifts + 1)]
    found = [run(network, one) for one in shifted]
    activations, embeddings = (
        np.stack([x[i] for x in found], axis=1) for i in range(2)
    )
    measures = measure_changes(activations, embeddings)
    return {name: float(values.mean()) for name, values in measures.items()}


@pytest.mark.parametrize(("axis", "num_shifts"), [(TIME, 7), (FREQUENCY, 3)])
def test_circular_shifts_change_what_theory_says(
    network: Network, axis: int, num_shifts: int
) -> None:
    def changes(has_filters: bool, is_adaptive: bool) -> dict[str, float]:
        pooled = with_pooling(network, has_filters, is_adaptive)
        return circular_changes(pooled, axis, num_shifts)

    plain, filtered = changes(False, False), changes(True, False)
    for adaptive in (changes(False, True), changes(True, True)):
        assert adaptive["consistency"] == 1
        for name in ("mean_change", "largest_change", "embedding_change"):
            assert adaptive[name] < ROUNDING
            assert 1e6 * ROUNDING < filtered[name] < plain[name] / 3
        assert adaptive["embedding_cosine_distance"] < ROUNDING
    assert plain["embedding_change"] > 0.03
    assert plain["consistency"] <= filtered["consistency"]


def test_measures_of_made_results() -> None:
    activations = [[0.9, 0.5, 0.1], [0.8, 0.9, 0.1], [0.9, 0.5, 0.1]]
    embeddings = [[3, 4], [4, 3], [6, 8]]
    found = measure_changes(np.array([activations]), np.array([embeddings]))
    assert {*found} == {*MEASURES}
    expected: dict[str, list[float]] = {
        "consistency": [0, 1],
        "mean_change": [0.5 / 3, 0],
        "largest_change": [0.4, 0],
        "embedding_change": [np.sqrt(2) / 5, 1],
        "embedding_cosine_distance": [1 - 24 / 25, 0],
    }
    for name, values in expected.items():
        assert found[name].tolist() == [pytest.approx(values, abs=1e-15)]


def test_changes_from_and_to_an_embedding_of_zeros_count_as_1() -> None:
    embeddings = np.array([[[0.0], [0.0], [5.0]], [[5.0], [5.0], [0.0]]])
    found = measure_changes(np.zeros((2, 3, 1)), embeddings)
    for name in ("embedding_change", "embedding_cosine_distance"):
        np.testing.assert_array_equal(found[name], [[0, 1], [0, 1]])


def made(model: str, activations: np.ndarray) -> Changes:
    """Results of a model, with embeddings that do not change."""
    num_clips, num_versions, num_classes = activations.shape
    clips = ShiftedClips(
        tuple(f"clip{i}" for i in range(num_clips)),
        tuple(float(i) for i in range(num_versions)),
        {},
        {},
    )
    labels = tuple("abcdefgh"[:num_classes])
    embeddings = np.ones((num_clips, num_versions, 2))
    measures = measure_changes(activations, embeddings)
    return Changes(model, labels, clips, activations.astype(np.float32), measures)


def summary_of(seed: int = 0, class_clips: int = 5) -> Summary:
    """Two models: the label of every fourth clip changes with the first, of 8 clips.

    It changes from a to b at the second of two offsets.
    """
    steady = np.tile([0.6, 0.2], (8, 3, 1))
    changing = steady.copy()
    changing[::4, 2] = [0.1, 0.4]
    changes = made("changing", changing), made("steady", steady)
    return sum_up(changes, SummarySettings(class_clips, 500, seed))


def test_summary_of_known_changes() -> None:
    summary = summary_of()
    changing, steady = (summary.averages[name] for name in ("changing", "steady"))
    assert [row["consistency"].value for row in changing.by_offset] == [1, 0.75]
    assert changing.overall["consistency"].value == 0.875
    assert steady.overall["consistency"].value == 1
    assert changing.overall["largest_change"].value == pytest.approx(0.5 / 8)
    interval = changing.by_offset[1]["consistency"]
    # Quantiles of the binomial distribution of 8 draws: 4 and 8 of them.
    assert (interval.low, interval.high) == (0.5, 1.0)
    difference = summary.differences["changing", "steady"].overall["consistency"]
    assert difference.value == -0.125
    assert (difference.low, difference.high) == (-0.25, 0)
    (row,) = summary.classes["changing"]
    assert (row.label, row.num_clips) == ("a", 8)
    assert row.overall["consistency"].value == 0.875


def test_the_clip_that_changes_most() -> None:
    most = summary_of().most_changed
    assert (most.model, most.clip, most.label, most.offset) == (
        *("changing", 0, "a"),
        2.0,
    )
    assert (most.before, most.after) == pytest.approx((0.6, 0.1))


def test_classes_with_few_clips_have_no_row() -> None:
    assert summary_of(class_clips=9).classes == {"changing": (), "steady": ()}


def test_the_seed_decides_the_intervals() -> None:
    assert summary_of(seed=1).averages == summary_of(seed=1).averages
    one, other = (
        summary_of(seed=seed).averages["changing"].overall["mean_change"]
        for seed in (1, 2)
    )
    assert one.value == other.value and one != other
