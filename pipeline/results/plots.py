"""Pictures of a dataset, drawn from Parquet alone."""

import dataclasses
import difflib
import json
import warnings
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pipeline.dataset.folder import Dataset
from pipeline.dataset.vectors import vectors_of
from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

NUM_LABELS = 10
MAX_CLIPS = 50
_MINUTES_FROM_S = 120
_MAX_MARKS = 10
_STEPS_S = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclasses.dataclass(frozen=True)
class ClipActivations:
    """The activations of one clip.

    Attributes:
        clip_id: As in the ledger.
        model: Name of the model.
        activations: float32 [num_patches, num_classes].
        start_s: float64 [num_patches], starts of the patches.
        hop_s: From one patch to the next.
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
) -> list[str]:
    """Draws labels of clips over time into an image file, one clip below the other.

    Args:
        output: Folder of a dataset.
        clips: Of each a clip_id, or a uri or file name that only one clip has.
        model: Name; may be left out if the dataset has one model.
        path: Image to write; its extension gives the format: .png, .svg or .pdf.
        num_labels: How many labels of every clip, those with the highest means.
        labels: The labels to draw instead, from top to bottom.

    Returns:
        The clip_ids.

    Raises:
        ConfigError: if there is no such dataset, clip, label or model, or nothing to
            draw.
    """
    if not storage.suffix(path):
        raise ConfigError(f"picture {path!r} has no extension; name it {path}.png")
    if not 1 <= len(clips) <= MAX_CLIPS:
        raise ConfigError(f"got {len(clips)} clips, expected 1 to {MAX_CLIPS} a sheet")
    if num_labels < 1:
        raise ConfigError(f"number of labels is {num_labels}, expected 1 or more")
    dataset = Dataset(output)
    dataset.existing_run()
    # A clip that is named twice is drawn once.
    clip_ids = list(dict.fromkeys(find_clip(dataset, clip) for clip in clips))
    name = dataset.find_model(model)
    sheet = [read_activations(dataset, clip_id, name) for clip_id in clip_ids]
    rows = [choose_labels(clip, num_labels, labels) for clip in sheet]
    # A name in a script that the font lacks is drawn as boxes, without a warning.
    warnings.filterwarnings("ignore", message="Glyph")
    figure = _draw_sheet(sheet, rows)
    try:
        with storage.publish(path) as file:
            figure.savefig(file, dpi=120, format=storage.suffix(path)[1:].lower())
    except (StorageError, OSError, ValueError) as error:
        raise ConfigError(
            f"cannot write picture {storage.shown(path)}: {error}"
        ) from error
    finally:
        plt.close(figure)
    return clip_ids


def _draw_sheet(sheet: list[ClipActivations], rows: list[list[int]]) -> Figure:
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
    return figure


def choose_labels(
    clip: ClipActivations, num_labels: int = NUM_LABELS, labels: Sequence[str] = ()
) -> list[int]:
    """Indexes of the labels to draw: those named, or the highest by mean.

    Raises:
        ConfigError: if a label is none of the model's.
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
    """Labels over time, the first on top.

    Args:
        axes: To draw on.
        clip: The clip.
        rows: Indexes of the labels.
    """
    # A patch is drawn from its start to the start of the next one.
    edges = np.append(clip.start_s, clip.start_s[-1] + clip.hop_s)
    mesh = axes.pcolormesh(
        edges,
        np.arange(len(rows) + 1) - 0.5,
        clip.activations[:, list(rows)].T,
        vmin=0,
        vmax=1,
        cmap="magma",
        # As a bitmap within SVG and PDF: an hour would be 70,000 rectangles.
        rasterized=True,
    )
    axes.set_yticks(np.arange(len(rows)), [clip.labels[index] for index in rows])
    axes.invert_yaxis()
    mark_time(axes, float(edges[-1]))
    # No mathtext: a $ in a name is a $.
    axes.set_title(f"{clip.clip_id} ({clip.model})", parse_math=False)
    axes.figure.colorbar(mesh, ax=axes, label="activation")


def mark_time(axes: Axes, duration_s: float) -> None:
    """Marks in seconds; of clips of two minutes and more in minutes, of hours h:min."""
    if duration_s < _MINUTES_FROM_S:
        axes.set_xlabel("time (s)")
        return
    steps = (s for s in _STEPS_S if duration_s / s <= _MAX_MARKS)
    axes.xaxis.set_major_locator(MultipleLocator(next(steps, duration_s / _MAX_MARKS)))
    is_hours = duration_s >= 3600
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: _clock(s, is_hours)))
    axes.set_xlabel("time (h:min:s)" if is_hours else "time (min:s)")


def _clock(time_s: float, is_hours: bool) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    if not is_hours:
        return f"{minutes}:{seconds:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def find_clip(dataset: Dataset, name: str) -> str:
    """The clip_id for a clip_id, uri or file name; says why a clip has no result."""
    ledger = dataset.read_ledger(["clip_id", "uri", "status", "error", "num_patches"])
    rows = ledger.filter(pc.equal(ledger["clip_id"], name)).to_pylist()
    if not rows:
        ends = pc.ends_with(ledger["uri"], "/" + name.lstrip("/"))
        rows = ledger.filter(pc.or_(pc.equal(ledger["uri"], name), ends)).to_pylist()
    if not rows:
        shown = ", ".join(ledger["clip_id"][:5].to_pylist())
        raise ConfigError(f"no clip {name!r} in {dataset.shown}; it has {shown}, ...")
    if len(rows) > 1:
        found = ", ".join(row["clip_id"] for row in rows[:5])
        raise ConfigError(f"{len(rows)} clips are named {name!r}: give one of {found}")
    row = rows[0]
    if row["status"] != "ok":
        raise ConfigError(f"clip {row['clip_id']} has failed: {row['error']}")
    if not row["num_patches"]:
        raise ConfigError(
            f"clip {row['clip_id']} is shorter than one patch and has no activations; "
            "extract with --last-patch repeat to keep such clips"
        )
    clip_id: str = row["clip_id"]
    return clip_id


def read_activations(dataset: Dataset, clip_id: str, model: str) -> ClipActivations:
    """Reads one clip's patches of one model."""
    patches = dataset.open_table(f"patches/model={model}")
    if patches is None or "activations" not in patches.schema.names:
        raise ConfigError(f"{dataset.shown} has no activations of model {model}")
    table = patches.to_table(
        columns=["patch", "start_s", "activations"],
        filter=pc.field("clip_id") == clip_id,
    ).sort_by("patch")
    metadata = patches.schema.metadata
    labels = tuple(json.loads(metadata[b"labels"]))
    return ClipActivations(
        clip_id,
        model,
        vectors_of(table["activations"]),
        table["start_s"].to_numpy(),
        float(metadata[b"patch_hop_s"]),
        labels,
    )
