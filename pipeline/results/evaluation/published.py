"""Which published figure stands beside a measured one."""

import dataclasses
import pathlib

from pipeline.dataset.snapshot import Snapshot
from pipeline.results.evaluation.ground_truth import GroundTruth
from transforms.models.registry import (
    RegisteredModel,
    file_hash,
    hash_problem,
    registered_models,
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A published mean average precision, and how sure it is that it is comparable.

    Attributes:
        mean_average_precision: On FSD50K's evaluation set.
        standard_deviation: Over trainings, as published.
        notes: What a reader should know before comparing.
    """

    mean_average_precision: float
    standard_deviation: float | None
    notes: tuple[str, ...]


def find_published(snapshot: Snapshot, truth: GroundTruth) -> Published | None:
    """The published figure of the model that made a dataset.

    None if the model has no published name, or its graph is another under that name.
    """
    model = registered_models().get(snapshot.model)
    if model is None or model.published_map is None:
        return None
    is_same, note = _compare_hash(model, snapshot)
    if not is_same:
        return None
    notes = [note] if note else []
    if not (truth.is_fsd50k and truth.split == "eval"):
        notes.append("published for FSD50K's evaluation set, which this is not")
    return Published(model.published_map, model.published_map_std, tuple(notes))


def _compare_hash(
    model: RegisteredModel, snapshot: Snapshot
) -> tuple[bool, str | None]:
    """False if the graph of the run is known to be another; and what is not known."""
    run = snapshot.run
    if model.name in run["config"]["models"]:
        # Given by its name: extract has checked the hash.
        return True, None
    entry = next(m for m in run["models"] if m["name"] == model.name)
    path = pathlib.Path(entry["path"])
    try:
        if file_hash(path, "sha256") == entry["sha256"]:
            return hash_problem(model, path) is None, None
    except OSError:
        pass
    return True, f"compared by name only: the graph is not at {path} any more"
