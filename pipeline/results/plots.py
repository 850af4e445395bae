"""Draws the activations of clips over time, from the Parquet files of a dataset."""

import dataclasses
import difflib
import json
import warnings
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import ConfigError
from pipeline.inputs.excerpts import START
from pipeline.results.events.event_table import read_event_table
from transforms import storage
from transforms.storage import StorageError

NUM_LABELS = 10
MAX_CLIPS = 50
# Time axes of at least this length are marked in minutes, not in seconds.
_MINUTES_FROM_S = 120
# More columns than this would be narrower than a dot of the picture. A column then
# shows the highest activation of several patches.
_MAX_COLUMNS = 800
# Place of an event's bar in the row of its label, from its middle downwards.
_BAR_PLACE = 0.4
_MAX_TICKS = 10
# Label -> starts and ends of events, in seconds.
Spans = dict[str, list[tuple[float, float]]]
_TICK_STEPS_S = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclasses.dataclass(frozen=True)
class ClipActivations:
    """The activations of one clip.

    Attributes:
        clip_id: As in the ledger.
        model: Name of the model.
        activations: float32 [num_patches, num_classes].
        start_s: float64 [num_patches], starts of the patches.
        hop_s: Seconds from the start of one patch to the start of the next.
        labels: Names of the classes.
    """

    clip_id: str
    model: str
    activations: np.ndarray
    start_s: np.ndarray
    hop_s: float
    labels: tuple[str, ...]


def plot_clips(
    output: str,
    clips: Sequence[str],
    model: str | None,
    path: str,
    num_labels: int = NUM_LABELS,
    labels: Sequence[str] = (),
    events: str | None = None,
) -> list[str]:
    """Draws labels of clips over time into an image file, one clip below the other.

    Args:
        output: Folder of a dataset.
        clips: For each clip its clip_id, or a uri or file name that no other clip has.
        model: Name of the model; may be None if the dataset has only one.
        path: Image to write; its extension is the format: .png, .svg or .pdf.
        num_labels: Number of labels per clip: those with the highest means.
        labels: Labels to draw instead, from top to bottom.
        events: File of events to draw over the activations; None for none.

    Returns:
        The clip_ids.

    Raises:
        ConfigError: if the dataset has no such clip, label or model, or the image
            cannot be written.
        DatasetError: if the folder holds no dataset with activations.
    """
    if not storage.suffix(path):
        raise ConfigError(f"picture {path!r} has no extension; name it {path}.png")
    if not 1 <= len(clips) <= MAX_CLIPS:
        raise ConfigError(
            f"got {len(clips)} clips, expected 1 to {MAX_CLIPS} in one picture"
        )
    if num_labels < 1:
        raise ConfigError(f"number of labels is {num_labels}, expected 1 or more")
    snapshot = Snapshot(output, model)
    table = read_event_table(events) if events else None
    # A clip that is named twice is drawn once.
    clip_ids = list(dict.fromkeys(map(snapshot.find_clip, clips)))
    sheet = [read_activations(snapshot, clip_id) for clip_id in clip_ids]
    rows = [choose_labels(clip, num_labels, labels) for clip in sheet]
    # matplotlib warns of characters that the font lacks; it draws them as boxes.
    warnings.filterwarnings("ignore", message="Glyph")
    spans = event_spans(snapshot, clip_ids, table) if table is not None else {}
    figure = _draw_sheet(sheet, rows, spans)
    try:
        with storage.publish(path) as file:
            figure.savefig(file, dpi=120, format=storage.suffix(path)[1:].lower())
    except StorageError as error:
        raise ConfigError(f"cannot write picture {error}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot write picture {storage.shown(path)}: {error}"
        ) from error
    finally:
        plt.close(figure)
    return clip_ids


def _draw_sheet(
    sheet: list[ClipActivations], rows: list[list[int]], spans: dict[str, Spans]
) -> Figure:
    heights = [max(2.0, 1.3 + 0.32 * len(chosen)) for chosen in rows]
    figure, grid = plt.subplots(
        len(sheet),
        squeeze=False,
        figsize=(10, sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for axes, clip, chosen in zip(grid[:, 0], sheet, rows, strict=True):
        draw_activations(axes, clip, chosen)
        draw_events(axes, clip, chosen, spans.get(clip.clip_id, {}))
    return figure


def choose_labels(
    clip: ClipActivations, num_labels: int = NUM_LABELS, labels: Sequence[str] = ()
) -> list[int]:
    """Returns the indexes of the labels to draw.

    Args:
        clip: Clip whose labels are chosen.
        num_labels: Number of labels with the highest means, if `labels` is empty.
        labels: Names of the labels to draw, in upper or lower case.

    Raises:
        ConfigError: if the model does not have a label.
    """
    if not labels:
        order = np.argsort(-clip.activations.mean(axis=0), kind="stable")
        return order[:num_labels].tolist()
    places = {label.casefold(): i for i, label in enumerate(clip.labels)}
    for label in labels:
        if label.casefold() not in places:
            near = difflib.get_close_matches(label.casefold(), places, 3, 0.4)
            known = [clip.labels[places[name]] for name in near] or clip.labels[:5]
            raise ConfigError(
                f"model {clip.model} has no label {label!r}; it has "
                f"{', '.join(known)}, ..."
            )
    return list(dict.fromkeys(places[label.casefold()] for label in labels))


def draw_activations(axes: Axes, clip: ClipActivations, rows: Sequence[int]) -> None:
    """Draws labels over time.

    Args:
        axes: Axes to draw on.
        clip: Clip to draw.
        rows: Indexes of the labels, from top to bottom.
    """
    # A patch is drawn from its start to the start of the next patch.
    step = -(-len(clip.start_s) // _MAX_COLUMNS)
    firsts = np.arange(0, len(clip.start_s), step)
    edges = np.append(clip.start_s[firsts], clip.start_s[-1] + clip.hop_s)
    highest = np.maximum.reduceat(clip.activations[:, list(rows)], firsts, axis=0)
    mesh = axes.pcolormesh(
        edges,
        np.arange(len(rows) + 1) - 0.5,
        highest.T,
        vmin=0,
        vmax=1,
        cmap="magma",
        # A bitmap within SVG and PDF: it may have 10,000 rectangles and more.
        rasterized=True,
    )
    axes.set_yticks(np.arange(len(rows)), [clip.labels[index] for index in rows])
    axes.invert_yaxis()
    mark_time(axes, float(edges[-1]))
    # Without this option, a $ in a name would start a formula.
    axes.set_title(f"{clip.clip_id} ({clip.model})", parse_math=False)
    of = (
        "activation"
        if step == 1
        else f"highest activation in {step * clip.hop_s:.0f} s"
    )
    axes.figure.colorbar(mesh, ax=axes, label=of)


def event_spans(
    snapshot: Snapshot, clip_ids: Sequence[str], table: pa.Table
) -> dict[str, Spans]:
    """Returns the events of clips, with times in the clip: clip_id -> its events.

    Args:
        snapshot: Dataset of the clips.
        clip_ids: The clips.
        table: Events with times in the file.
    """
    columns = ["clip_id", "uri", *([START] if snapshot.has_excerpts() else [])]
    ledger = snapshot.ledger(columns)
    wanted = pc.is_in(ledger["clip_id"], value_set=pa.array(clip_ids))
    key = "clip_id" if "clip_id" in table.column_names else "uri"
    spans: dict[str, Spans] = {}
    for row in ledger.filter(wanted).to_pylist():
        shift_s = row.get(START) or 0.0
        of_clip = spans.setdefault(row["clip_id"], {})
        for event in table.filter(pc.equal(table[key], row[key])).to_pylist():
            times = (event["start_s"] - shift_s, event["end_s"] - shift_s)
            of_clip.setdefault(event["label"], []).append(times)
    return spans


def draw_events(
    axes: Axes, clip: ClipActivations, rows: Sequence[int], events: Spans
) -> None:
    """Draws events as bars along the lower edges of the rows of their labels."""
    start, end = axes.get_xlim()
    # An event of a second in a recording of hours stays visible.
    shortest = (end - start) / _MAX_COLUMNS * 2
    for place, index in enumerate(rows):
        for start_s, end_s in events.get(clip.labels[index], []):
            axes.plot(
                [start_s, max(end_s, start_s + shortest)],
                [place + _BAR_PLACE] * 2,
                color="#35e0c8",
                linewidth=3,
                solid_capstyle="butt",
            )
            end = max(end, end_s)
    axes.set_xlim(start, end)


def mark_time(axes: Axes, duration_s: float) -> None:
    """Labels the time axis: in seconds, or from two minutes on as min:s or h:min:s."""
    if duration_s < _MINUTES_FROM_S:
        axes.set_xlabel("time (s)")
        return
    steps = (s for s in _TICK_STEPS_S if duration_s / s <= _MAX_TICKS)
    axes.xaxis.set_major_locator(MultipleLocator(next(steps, duration_s / _MAX_TICKS)))
    is_hours = duration_s >= 3600
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: _clock(s, is_hours)))
    axes.set_xlabel("time (h:min:s)" if is_hours else "time (min:s)")


def _clock(time_s: float, is_hours: bool) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    if not is_hours:
        return f"{minutes}:{seconds:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def read_activations(snapshot: Snapshot, clip_id: str) -> ClipActivations:
    """Reads the activations of one clip.

    Raises:
        DatasetError: if the dataset has no activations.
    """
    metadata = snapshot.schema("patches", "activations").metadata
    part = snapshot.part_of(clip_id)
    if part is None:
        raise snapshot.mismatch(clip_id, "has no results")
    columns = ["clip_id", "patch", "start_s", "activations"]
    table = snapshot.read_clips("patches", part, [clip_id], columns).sort_by("patch")
    if not table.num_rows:
        raise snapshot.mismatch(clip_id, "has no patches")
    return ClipActivations(
        clip_id,
        snapshot.model,
        vectors_of(table["activations"]),
        table["start_s"].to_numpy(),
        float(metadata[b"patch_hop_s"]),
        tuple(json.loads(metadata[b"labels"])),
    )
