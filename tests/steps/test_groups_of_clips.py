"""run_models gives an engine as many patches as it asks for, of clips in a row."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.device_engine import shard_of
from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import patches_at_once
from transforms.inference import run_models


@dataclasses.dataclass
class Counting:
    """An engine that returns the first values of each patch, and notes the calls."""

    run_patches: int

    def __post_init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, patches: FloatArray) -> Prediction:
        self.sizes.append(len(patches))
        return Prediction(patches[:, 0, :3].copy(), patches[:, 1, :2].copy())


class Single:
    """An engine that does not say how many patches it wants."""

    def run(self, patches: FloatArray) -> Prediction:
        return Prediction(patches[:, 0, :3].copy(), patches[:, 1, :2].copy())


@given(
    sizes=st.lists(st.none() | st.integers(1, 5), max_size=8),
    wanted=st.integers(1, 9),
)
def test_results_do_not_depend_on_the_groups(
    sizes: list[int | None], wanted: int
) -> None:
    shard, engine = shard_of(sizes), Counting(wanted)
    result = run_models(shard, {"a": engine, "b": Single()})
    assert [clip.clip_id for clip in result.clips] == [c.clip_id for c in shard.clips]
    for before, after in zip(shard.clips, result.clips, strict=True):
        if before.failure:
            assert after is before
            continue
        assert before.patches is not None and after.predictions is not None
        assert after.patches is None
        for prediction in after.predictions.values():
            expected = Single().run(before.patches)
            np.testing.assert_array_equal(prediction.activations, expected.activations)
            np.testing.assert_array_equal(prediction.embeddings, expected.embeddings)
    # All calls but the last have enough patches, and none has a clip more than needed.
    assert all(size >= wanted for size in engine.sizes[:-1])
    assert all(size < wanted + 5 for size in engine.sizes)
    assert sum(engine.sizes) == sum(size or 0 for size in sizes)


def test_an_engine_that_says_nothing_gets_one_clip() -> None:
    assert patches_at_once(Single()) == 1
    engine = Counting(1)
    run_models(shard_of([2, 1, 3]), {"a": engine})
    assert engine.sizes == [2, 1, 3]
