"""Finds the published score of the model that made a dataset."""

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
    """A published mean average precision.

    Attributes:
        mean_average_precision: Score on FSD50K's evaluation set.
        standard_deviation: Published deviation over several trainings, if known.
        notes: Reasons why the measured score may not be comparable.
    """

    mean_average_precision: float
    standard_deviation: float | None
    notes: tuple[str, ...]


def find_published(snapshot: Snapshot, truth: GroundTruth) -> Published | None:
    """Returns the published score of the model that made a dataset.

    None if the model's name is not that of a published model, or its graph is known to
    be another one.
    """
    model = registered_models().get(snapshot.model)
    if model is None or model.published_map is None:
        return None
    is_same, note = _compare_hash(model, snapshot)
    if not is_same:
        return None
    notes = [note] if note else []
    if not (truth.is_fsd50k and truth.split == "eval"):
        notes.append(
            "published for FSD50K's evaluation set; this is another ground truth"
        )
    return Published(model.published_map, model.published_map_std, tuple(notes))


def _compare_hash(
    model: RegisteredModel, snapshot: Snapshot
) -> tuple[bool, str | None]:
    """Compares the graph of the run with the published graph.

    Returns:
        False if it is known to be another graph; a note if that cannot be checked.
    """
    if model.name in snapshot.run["config"]["models"]:
        # The model was given by its name, and extract has checked the hash.
        return True, None
    entry = snapshot.model_entry
    path = pathlib.Path(entry["path"])
    try:
        if file_hash(path, "sha256") == entry["sha256"]:
            return hash_problem(model, path) is None, None
    except OSError:
        pass
    return True, f"compared by name only: the graph is no longer at {path}"
