"""Computes the embedding of one audio file as the run of a dataset would.

The model, the engine and the patches are those of the run.
"""

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from transforms import storage
from transforms.elements import ClipError, mean_over_patches
from transforms.engines.contract import ModelSpec
from transforms.errors import UserError
from transforms.front_end.patches import FRONT_END_VERSION, PatchSpec
from transforms.models.loading import load_model
from transforms.models.registry import registered_models
from transforms.tagger import Tagger


def audio_embedding(snapshot: Snapshot, path: str, graph: str | None) -> np.ndarray:
    """Returns the mean embedding of a file by the model of a dataset.

    Args:
        snapshot: Dataset whose model and settings are used.
        path: Audio file.
        graph: Path of the model's graph; None for the registered model, or the path
            that the run used.

    Returns:
        float32 [embedding_size].

    Raises:
        ConfigError: if the model is not found, or the file has no embedding.
    """
    identity = snapshot.run["identity"]
    if identity["front_end_version"] != FRONT_END_VERSION:
        raise ConfigError(
            f"{snapshot.dataset.shown} was made by version "
            f"{identity['front_end_version']} of the front end, this program has "
            f"version {FRONT_END_VERSION}: their embeddings cannot be compared; search "
            "with --clip, or extract again"
        )
    patches = PatchSpec(identity["patch_hop"], identity["last_patch"])
    engine = identity["engines"][snapshot.model]
    tagger = Tagger(_find_model(snapshot, graph), engine, patches)
    try:
        embeddings = tagger.file(path).embeddings
    except (ClipError, ValueError) as error:
        raise ConfigError(str(error)) from error
    if not len(embeddings):
        raise ConfigError(
            f"{storage.shown(path)} is shorter than one patch (1.03 s), and the "
            "dataset was extracted with --last-patch discard; give a longer file"
        )
    return mean_over_patches(embeddings)


def _find_model(snapshot: Snapshot, graph: str | None) -> ModelSpec:
    """Loads the model whose graph has the hash that run.json states."""
    entry = snapshot.model_entry
    if graph is not None:
        spec = load_model(graph)
        if spec.sha256 != entry["sha256"]:
            raise ConfigError(
                f"{graph} is not the model of {snapshot.dataset.shown}: its sha256 is "
                f"{spec.sha256}, expected {entry['sha256']}"
            )
        return spec
    known = [snapshot.model] if snapshot.model in registered_models() else []
    for name_or_path in (*known, entry["path"]):
        try:
            spec = load_model(name_or_path)
        except UserError:
            continue
        if spec.sha256 == entry["sha256"]:
            return spec
    raise ConfigError(
        f"the model of {snapshot.dataset.shown} is no longer at {entry['path']}; give "
        f"its graph with --model PATH.pb (sha256 {entry['sha256']})"
    )
