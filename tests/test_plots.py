"""The picture of a clip's activations, drawn from Parquet."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pipeline.dataset import Dataset
from pipeline.errors import ConfigError
from pipeline.plots import ClipActivations, draw_activations, find_clip, plot_clip
from tests.conftest import Command


def test_labels_are_sorted_by_mean_with_the_highest_on_top() -> None:
    labels = tuple(f"label {i}" for i in range(20))
    rng = np.random.default_rng(0)
    activations = rng.random((7, 20)).astype(np.float32) * np.linspace(0, 1, 20)
    start_s = np.arange(7) * 0.5
    clip = ClipActivations("a $x$", "model", activations, start_s, 0.5, labels)
    figure, axes = plt.subplots()
    draw_activations(axes, clip)
    order = np.argsort(-activations.mean(axis=0))[:10]
    assert [t.get_text() for t in axes.get_yticklabels()] == [labels[i] for i in order]
    top, bottom = axes.get_ylim()[::-1]
    assert top < bottom, "the first row must be on top"
    assert axes.get_xlim() == (0, 3.5)
    assert axes.get_xlabel() == "time (s)"
    mesh = axes.collections[0]
    values = np.asarray(mesh.get_array()).reshape(10, 7)
    np.testing.assert_array_equal(values, activations[:, order].T)
    assert mesh.get_clim() == (0, 1)
    assert figure.axes[1].get_ylabel() == "activation"
    figure.canvas.draw()
    plt.close(figure)


@pytest.fixture(scope="module")
def output(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("plots") / "out"
    options = ("--model", tiny_model, "--output", folder, "--last-patch", "discard")
    fsdsinet("extract", corpus, *options)
    return folder


def test_a_clip_is_found_by_id_uri_or_file_name(
    output: pathlib.Path, corpus: pathlib.Path
) -> None:
    dataset = Dataset(str(output))
    clip_id = find_clip(dataset, "clip4.wav")
    assert clip_id.startswith("clip4-")
    assert find_clip(dataset, clip_id) == clip_id
    assert find_clip(dataset, str(corpus / "clip4.wav")) == clip_id


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("nobody", "no clip 'nobody'"),
        ("text.wav", "has failed: cannot decode"),
        ("clip0.wav", "shorter than one patch"),
    ],
)
def test_clips_without_activations_say_why(
    output: pathlib.Path, tmp_path: pathlib.Path, clip: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plot_clip(str(output), clip, None, str(tmp_path / "a.png"))


def test_wrong_places_are_refused(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="is no dataset"):
        plot_clip(str(tmp_path), "a", None, "a.png")
    with pytest.raises(ConfigError, match="expected one of: random-tiny-tlpf"):
        plot_clip(str(output), "clip5.wav", "other", "a.png")
    with pytest.raises(ConfigError, match="cannot write picture"):
        plot_clip(str(output), "clip5.wav", None, str(output / "run.json" / "a.png"))
    with pytest.raises(ConfigError, match="cannot write picture"):
        plot_clip(str(output), "clip5.wav", None, str(tmp_path / "a.xyz"))
    with pytest.raises(ConfigError, match="has no extension"):
        plot_clip(str(output), "clip5.wav", None, str(tmp_path / "a"))
