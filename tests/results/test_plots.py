"""`fsdsinet plot`: pictures of clips, drawn from the Parquet files of a dataset."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import DatasetError
from pipeline.results.plots import (
    ClipActivations,
    choose_labels,
    draw_activations,
    draw_events,
    mark_time,
    plot_clips,
)
from tests.conftest import Command
from transforms.errors import UserError


def test_labels_are_sorted_by_mean_with_the_highest_on_top() -> None:
    labels = tuple(f"label {i}" for i in range(20))
    rng = np.random.default_rng(0)
    activations = rng.random((7, 20)).astype(np.float32) * np.linspace(0, 1, 20)
    start_s = np.arange(7) * 0.5
    clip = ClipActivations("a $x$", "model", activations, start_s, 0.5, labels)
    figure, axes = plt.subplots()
    draw_activations(axes, clip, choose_labels(clip))
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


def long_clip(num_patches: int) -> ClipActivations:
    activations = np.zeros((num_patches, 2), np.float32)
    activations[1234] = [0.9, 0.1]
    start_s = np.arange(num_patches) * 0.5
    return ClipActivations("a", "model", activations, start_s, 0.5, ("Dog", "Cat"))


def test_a_column_of_a_long_clip_shows_the_highest_activation() -> None:
    figure, axes = plt.subplots()
    draw_activations(axes, long_clip(12 * 7200), [0, 1])
    values = np.asarray(axes.collections[0].get_array()).reshape(2, -1)
    assert values.shape == (2, 800) and axes.get_xlim() == (0, 12 * 3600)
    assert np.flatnonzero(values[0]).tolist() == [1234 // 108]
    assert values.max() == np.float32(0.9)
    assert figure.axes[1].get_ylabel() == "highest activation in 54 s"
    plt.close(figure)


def test_events_are_bars_in_the_rows_of_their_labels() -> None:
    figure, axes = plt.subplots()
    clip = long_clip(2000)
    draw_activations(axes, clip, [1, 0])
    draw_events(axes, clip, [1, 0], {"Dog": [(3.0, 60.0), (995.0, 1000.5)], "Owl": []})
    bars = [
        np.asarray(line.get_xydata(), float).ravel().tolist() for line in axes.lines
    ]
    assert bars == [[3.0, 1.4, 60.0, 1.4], [995.0, 1.4, 1000.5, 1.4]]
    assert axes.get_xlim() == (0, 1000.5)
    # A short event is wide enough to be seen.
    draw_events(axes, clip, [1, 0], {"Cat": [(10.0, 10.1)]})
    ends = np.asarray(axes.lines[-1].get_xdata(), float)
    np.testing.assert_allclose(ends, np.array([10.0, 10 + 1000.5 / 400]))
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
    snapshot = Snapshot(str(output), None)
    clip_id = snapshot.find_clip("clip4.wav")
    assert clip_id.startswith("clip4-")
    assert snapshot.find_clip(clip_id) == clip_id
    assert snapshot.find_clip(str(corpus / "clip4.wav")) == clip_id


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("nobody", "no clip 'nobody' in .*; its clips are .*clip[0-9]-.*, ..."),
        ("lip4", "no clip 'lip4' in .*; its clips are"),
        ("clip4", "no clip 'clip4' in .*; did you mean clip4-[0-9a-f]{12}[?]$"),
        ("text.wav", "has failed: cannot decode"),
        ("clip0.wav", "shorter than one patch"),
    ],
)
def test_a_clip_without_activations_is_refused_with_the_reason(
    output: pathlib.Path, tmp_path: pathlib.Path, clip: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plot_clips(str(output), [clip], None, str(tmp_path / "a.png"))


def test_wrong_arguments_are_refused(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(DatasetError, match="is not a dataset"):
        plot_clips(str(tmp_path), ["a"], None, "a.png")
    with pytest.raises(UserError, match="expected one of: random-tiny-tlpf"):
        plot_clips(str(output), ["clip5.wav"], "other", "a.png")
    with pytest.raises(UserError, match="cannot write picture") as raised:
        plot_clips(str(output), ["clip5.wav"], None, str(output / "run.json" / "a.png"))
    assert str(raised.value).count("a.png") == 1
    with pytest.raises(UserError, match="cannot write picture"):
        plot_clips(str(output), ["clip5.wav"], None, str(tmp_path / "a.xyz"))
    with pytest.raises(UserError, match="has no extension"):
        plot_clips(str(output), ["clip5.wav"], None, str(tmp_path / "a"))
    with pytest.raises(UserError, match="expected 1 to 50 in one picture"):
        plot_clips(str(output), ["clip5.wav"] * 51, None, str(tmp_path / "a.png"))
    with pytest.raises(UserError, match="number of labels is 0"):
        plot_clips(str(output), ["clip5.wav"], None, str(tmp_path / "a.png"), 0)
    with pytest.raises(UserError, match="has no label 'barking'; it has Bark"):
        options = (10, ["Speech", "barking"])
        plot_clips(str(output), ["clip5.wav"], None, str(tmp_path / "a.png"), *options)


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")],
)
def test_several_clips_share_one_picture_in_the_format_of_its_extension(
    output: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    start: bytes,
) -> None:
    path = tmp_path / name
    clips = ("--clip", "clip5.wav", "--clip", "clip9.wav", "--clip", "clip5.wav")
    options = ("--labels", "speech", "--labels", "Bark", "--output", str(path))
    assert main(["plot", str(output), *clips, *options]) == 0
    printed = capsys.readouterr().out
    assert printed.count("clip5-") == printed.count("clip9-") == 1
    assert path.read_bytes().startswith(start)


def test_labels_are_chosen_by_name_or_number() -> None:
    values = np.array([[0.1, 0.9, 0.5]], np.float32)
    clip = ClipActivations("a", "m", values, np.zeros(1), 0.5, ("Bark", "Bell", "Car"))
    assert choose_labels(clip, 2) == [1, 2]
    assert choose_labels(clip, 99) == [1, 2, 0]
    assert choose_labels(clip, 2, ["car", "Bark", "Car"]) == [2, 0]


@pytest.mark.parametrize(
    ("duration_s", "label", "marks"),
    [
        (119, "time (s)", []),
        (150, "time (min:s)", ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30"]),
        (5400, "time (h:min:s)", ["0:00:00", "0:10:00", "1:30:00"]),
        (86400 * 2, "time (h:min:s)", ["0:00:00", "24:00:00"]),
    ],
)
def test_long_clips_have_time_axes_in_minutes(
    duration_s: float, label: str, marks: list[str]
) -> None:
    figure, axes = plt.subplots()
    axes.set_xlim(0, duration_s)
    mark_time(axes, duration_s)
    figure.canvas.draw()
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert axes.get_xlabel() == label
    assert set(marks) <= set(shown)
    assert len(shown) <= 13
    plt.close(figure)
