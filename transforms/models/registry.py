"""The models that have a name: facts from `registry.json`, and where their files lie.

A published model lies in the models folder once it is fetched, a bundled one beside
`registry.json`. To register a model, add an entry to `registry.json` with the keys of
RegisteredModel.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from transforms.errors import ModelError, unknown_value
from transforms.models.cache import default_root

REGISTRY = pathlib.Path(__file__).with_name("registry.json")


@dataclasses.dataclass(frozen=True)
class RegisteredModel:
    """The facts about a model that do not need its files.

    Attributes:
        name: Stem of its files, `<name>.pb` and `<name>.json`.
        description: Description in one line.
        architecture: Size and pooling, named as in the paper.
        embedding_size: Length of an embedding.
        licence: Licence of the weights.
        citation: The paper, or the authors.
        hash: Hash of the .pb, `git_blob_sha1:<hex>` or `sha256:<hex>`.
        published_map: Published mean average precision; None if there is none.
        published_map_std: Its published standard deviation.
        weights_url: Address of the .pb of a published model.
        metadata_url: Address of the .json of a published model.
        bundled_file: Path of the .pb of a bundled model, relative to `registry.json`.
    """

    name: str
    description: str
    architecture: str
    embedding_size: int
    licence: str
    citation: str
    hash: str
    published_map: float | None = None
    published_map_std: float | None = None
    weights_url: str | None = None
    metadata_url: str | None = None
    bundled_file: str | None = None


def registered_models() -> dict[str, RegisteredModel]:
    """All models that have a name, by name, in the order of `registry.json`."""
    entries = _read_registry()["models"]
    return {name: RegisteredModel(name, **facts) for name, facts in entries.items()}


def registered_model(name: str) -> RegisteredModel:
    """Facts about one model.

    Raises:
        ModelError: if no model has that name.
    """
    models = registered_models()
    if name not in models:
        raise ModelError(unknown_value("model", name, models))
    return models[name]


def registry_notes() -> list[str]:
    """Notes for readers of these facts."""
    notes: list[str] = _read_registry()["notes"]
    return notes


def published_labels() -> tuple[str, ...]:
    """The 200 labels of the published models, in the order of their activations."""
    return tuple(_read_registry()["classes"])


def models_folder() -> pathlib.Path:
    """The folder to which models are fetched, and in which they are found by name."""
    named = os.environ.get("FSDSINET_MODELS")
    return pathlib.Path(named or default_root() / "models")


def graph_path(model: RegisteredModel) -> pathlib.Path:
    """The path of the .pb of a model, even if the model has not been fetched."""
    if model.bundled_file is not None:
        return REGISTRY.parent / model.bundled_file
    return models_folder().absolute() / f"{model.name}.pb"


def hash_problem(model: RegisteredModel, path: pathlib.Path) -> str | None:
    """How the hash of a file differs from the registered one; None if it does not.

    Raises:
        OSError: if the file cannot be read.
    """
    algorithm, _, expected = model.hash.partition(":")
    found = file_hash(path, algorithm)
    if found == expected:
        return None
    return f"its {algorithm.replace('_', ' ')} is {found}, expected {expected}"


def file_hash(path: pathlib.Path, algorithm: str) -> str:
    """Hash of a file, as hexadecimal digits.

    Args:
        path: The file.
        algorithm: `git_blob_sha1`, by which Git names a file, or one of hashlib's.
    """
    is_blob = algorithm == "git_blob_sha1"
    digest = hashlib.new("sha1" if is_blob else algorithm)
    with path.open("rb") as file:
        if is_blob:
            digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def _read_registry() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(REGISTRY.read_text(encoding="utf-8"))
    return content
