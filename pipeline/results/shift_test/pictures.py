"""Draws changes against offsets: of all clips, and of the clip that changes most."""

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.results.shift_test.changes import Changes
from pipeline.results.shift_test.summary import Summary

# Dark to light, so that the lines differ without colours, too; Okabe and Ito's colours
# differ for colour-blind readers.
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_MARKERS, _LINES = "osD^vP", ("-", "--", "-.", ":")
_NUM_LABELS = 4
# Measure -> title of its panel, and factor of its values.
_PANELS = {
    "consistency": ("clips with the same top label (%)", 100),
    "embedding_change": ("relative change of the embedding (%)", 100),
    "largest_change": ("largest change of an activation", 1),
}


def draw_changes(summary: Summary) -> Figure:
    """Draws each measure against the offset: a line for each model, with intervals."""
    figure, panels = plt.subplots(
        1, len(_PANELS), figsize=(11, 3.8), layout="constrained"
    )
    in_bins = summary.clips.unit == "bins"
    offsets = np.array(summary.offsets)
    middle = int((offsets < 0).sum())
    # A shift by 0, which changes nothing, is drawn where the axis has a 0.
    if in_bins:
        offsets = np.insert(offsets, middle, 0)
    for axes, (measure, (title, factor)) in zip(panels, _PANELS.items(), strict=True):
        for index, (name, averages) in enumerate(summary.averages.items()):
            found = [row[measure] for row in averages.by_offset]
            values, low, high = (
                factor * np.array([getattr(x, key) for x in found])
                for key in ("value", "low", "high")
            )
            if in_bins:
                same = factor if measure == "consistency" else 0
                values, low, high = (
                    np.insert(x, middle, same) for x in (values, low, high)
                )
            style = _style(index)
            axes.plot(offsets, values, label=_plain(name), **style)
            axes.fill_between(
                offsets, low, high, color=style["color"], alpha=0.15, linewidth=0
            )
        axes.set_title(title, fontsize=9)
        if in_bins:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _finish(axes, "shift in mel bins; up if positive")
        else:
            axes.set_xscale("log")
            _finish(axes)
    # The part of the axis without lines is not shown, because a change of 2 % counts.
    panels[0].set_ylim(top=100.5)
    for axes in panels[1:]:
        axes.set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    num_clips = len(summary.clips.clip_ids)
    figure.suptitle(f"Means over {num_clips:,} clips, with 95 % intervals", fontsize=9)
    return figure


def draw_most_changed(summary: Summary) -> Figure:
    """Draws the clip that changes most: the labels that change most, by each model."""
    most = summary.most_changed
    figure, panels = plt.subplots(
        len(summary.changes),
        squeeze=False,
        sharex=True,
        figsize=(7, 1 + 2.3 * len(summary.changes)),
        layout="constrained",
    )
    # matplotlib warns of characters that the font lacks; it draws them as boxes.
    warnings.filterwarnings("ignore", message="Glyph")
    for axes, changes in zip(panels[:, 0], summary.changes, strict=True):
        _draw_clip(axes, changes, most.clip, summary.offsets)
    panels[-1, 0].set_xlabel("offset (ms); 0: not shifted", fontsize=8)
    clip_id = summary.clips.clip_ids[most.clip]
    figure.suptitle(f"The clip that changes most: {_plain(clip_id)}", fontsize=9)
    return figure


def _draw_clip(
    axes: Axes, changes: Changes, clip: int, offsets_ms: Sequence[float]
) -> None:
    activations = changes.activations[clip]
    changes_of_labels = np.abs(activations - activations[0]).max(axis=0)
    chosen = np.argsort(-changes_of_labels, kind="stable")[:_NUM_LABELS]
    for index, label in enumerate(chosen):
        axes.plot(
            [0, *offsets_ms],
            activations[:, label],
            label=_plain(changes.labels[label]),
            **_style(index),
        )
    # The axis is linear up to the first offset, so that it can show 0.
    axes.set_xscale("symlog", linthresh=offsets_ms[0], linscale=0.4)
    powers = 10.0 ** np.arange(-3, 6)
    is_shown = (powers > 2 * offsets_ms[0]) & (powers < offsets_ms[-1])
    axes.set_xticks([0, *powers[is_shown]])
    axes.minorticks_off()
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("activation", fontsize=8)
    axes.set_title(_plain(changes.model), fontsize=9)
    _finish(axes)
    axes.set_xlabel("")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _style(index: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _LINES[index % len(_LINES)],
        "markersize": 3,
        "linewidth": 1.2,
    }


def _finish(axes: Axes, label: str = "offset (ms)") -> None:
    axes.set_xlabel(label, fontsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.tick_params(labelsize=8)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)


def _plain(text: str) -> str:
    """A text in which $ does not start a formula."""
    return text.replace("$", r"\$")
