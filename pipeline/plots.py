"""Pictures of a dataset, drawn from Parquet alone."""

import dataclasses
import json
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes

from pipeline.dataset import Dataset
from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

NUM_LABELS = 10


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


def plot_clip(output: str, clip: str, model: str | None, path: str) -> str:
    """Draws the top labels of a clip over time into an image file.

    Args:
        output: Folder of a dataset.
        clip: A clip_id, or a uri or file name that only one clip has.
        model: Name; may be left out if the dataset has one model.
        path: Image to write; its extension gives the format.

    Returns:
        The clip_id.

    Raises:
        ConfigError: if there is no such dataset, clip or model, or nothing to draw.
    """
    if not storage.suffix(path):
        raise ConfigError(f"picture {path!r} has no extension; name it {path}.png")
    dataset = Dataset(output)
    if not dataset.run():
        raise ConfigError(f"{dataset.shown} is no dataset: it has no run.json")
    clip_id = find_clip(dataset, clip)
    clip_activations = read_activations(dataset, clip_id, dataset.find_model(model))
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    # A name in a script that the font lacks is drawn as boxes, without a warning.
    warnings.filterwarnings("ignore", message="Glyph")
    try:
        draw_activations(axes, clip_activations)
        with storage.publish(path) as file:
            figure.savefig(file, dpi=120, format=storage.suffix(path)[1:].lower())
    except (StorageError, OSError, ValueError) as error:
        raise ConfigError(
            f"cannot write picture {storage.shown(path)}: {error}"
        ) from error
    finally:
        plt.close(figure)
    return clip_id


def draw_activations(axes: Axes, clip: ClipActivations) -> None:
    """Top labels by mean activation, the highest on top, against time in seconds."""
    best = np.argsort(-clip.activations.mean(axis=0), kind="stable")[:NUM_LABELS]
    # A patch is drawn from its start to the start of the next one.
    edges = np.append(clip.start_s, clip.start_s[-1] + clip.hop_s)
    rows = np.arange(len(best) + 1) - 0.5
    mesh = axes.pcolormesh(
        edges, rows, clip.activations[:, best].T, vmin=0, vmax=1, cmap="magma"
    )
    axes.set_yticks(np.arange(len(best)), [clip.labels[index] for index in best])
    axes.invert_yaxis()
    axes.set_xlabel("time (s)")
    # No mathtext: a $ in a name is a $.
    axes.set_title(f"{clip.clip_id} ({clip.model})", parse_math=False)
    axes.figure.colorbar(mesh, ax=axes, label="activation")


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
    values = table["activations"].combine_chunks().flatten().to_numpy()
    return ClipActivations(
        clip_id,
        model,
        values.reshape(-1, len(labels)),
        table["start_s"].to_numpy(),
        float(metadata[b"patch_hop_s"]),
        labels,
    )
