"""Without borders, networks with adaptive subsampling are exactly shift-invariant."""

import numpy as np
import pytest

from training.graphs.sinet_graph import Pooling
from training.network.shift_invariance import Axis, circular_changes

ROUNDING = 1e-5


@pytest.fixture(scope="module", params=["time", "frequency"])
def changes(request: pytest.FixtureRequest) -> dict[Pooling, np.ndarray]:
    """Changes [num_patches, 8] for shifts 1 to 8, for each pooling."""
    axis: Axis = request.param
    poolings: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")
    return {p: circular_changes(1, p, range(1, 9), axis) for p in poolings}


def test_adaptive_sampling_is_invariant(changes: dict[Pooling, np.ndarray]) -> None:
    assert changes["aps"].max() <= ROUNDING
    assert changes["tlpf_aps"].max() <= ROUNDING


def test_low_pass_filters_change_less_than_max_pooling(
    changes: dict[Pooling, np.ndarray],
) -> None:
    by_max, by_filters = (changes[p][:, :7].mean(axis=0) for p in ("max", "tlpf"))
    assert by_max.min() > 0.05
    assert (by_filters < by_max).all()
    assert by_filters.min() > 100 * ROUNDING


def test_all_poolings_are_invariant_to_shifts_by_the_whole_stride(
    changes: dict[Pooling, np.ndarray],
) -> None:
    for pooling, change in changes.items():
        assert change[:, 7].max() <= ROUNDING, pooling
