"""The number of clips depends on the recordings of a group or the kind of formula."""

import numpy as np
import pytest

from training.recipes.recipe import Recipe, made, recorded
from training.recordings import clips as recordings
from training.render import Job, Plan, render_clips

PLAN = Plan(0, 2, 1.0, 0, False, odd_times=3)


def num_clips(recipe: Recipe) -> int:
    clips = render_clips(Job(recipe, "added", None), PLAN, np.random.default_rng(0))
    assert all(clip.shape == (22050,) for clip in clips)
    return len(clips)


@pytest.mark.parametrize(("num_sounds", "expected"), [(1, 2), (5, 5), (20, 8)])
def test_a_group_has_one_clip_per_recording_within_limits(
    num_sounds: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone = np.ones(4000, np.float32)
    monkeypatch.setattr(recordings, "_read_group", lambda group: (tone,) * num_sounds)
    assert num_clips(recorded("tones")) == expected


def test_a_formula_without_label_has_more_clips() -> None:
    assert num_clips(made("wind", "Wind")) == 2
    assert num_clips(made("hoots")) == 6
