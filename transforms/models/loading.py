"""Finds a model by name or path and checks that its graph is an FSD-SINet."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from typing import Any

from transforms import storage
from transforms.engines.contract import ModelSpec
from transforms.engines.graphdef import Node, read_graph
from transforms.errors import ModelError, did_you_mean
from transforms.front_end.mel import NUM_MELS
from transforms.front_end.patches import PATCH_FRAMES
from transforms.models.cache import cache_folder
from transforms.models.registry import (
    RegisteredModel,
    graph_path,
    hash_problem,
    published_labels,
    registered_models,
)
from transforms.storage import StorageError

_INPUT = "x"
_ACTIVATIONS = "model/predictions/Sigmoid"
_EMBEDDINGS = "model/global_max_pooling1d/Max"
_INPUT_SIZES = (PATCH_FRAMES, NUM_MELS, 1)
# The published metadata swaps time and frequency; the graphs do not.
_PUBLISHED_INPUT_SIZES = (NUM_MELS, PATCH_FRAMES, 1)

# A model's name becomes the folder model=NAME. Readers of Parquet split this name at =,
# decode %, and take *, ? and brackets for patterns.
_UNREADABLE = re.compile(r"[=%\\/?*\[\]{}\x00-\x1f]+")
# Readers return a number or a date for such a name, but not if it has a word.
_NUMBER_OR_DATE = re.compile(r"[+\-.]*\d(?!.*[^\W\d_]{3})")
# They also know words of dates: fastparquet reads `may`, `5 may`, `sat10` and `m3` as
# dates, and `1 day` as a duration. The rules are those of dateutil and pandas.
_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|"
    "aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = "(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_FILLER = "ad|and|at|m|nd|of|on|rd|st|t|th"
_UNIT = (
    "[dhws]|days?|hrs?|hours?|mins?|minutes?|secs?|seconds?|ms|us|ns|"
    "(?:milli|micro|nano)(?:s|secs?|seconds?)?"
)
_CLOCK = "[apz]|am|pm|utc|gmt"
_WORD_END = r"(?![^\W\d_])"
_DATE_IN_WORDS = re.compile(
    rf"(?:[ .,;'+-]|(?:{_FILLER}|{_DAY}){_WORD_END}|(?:{_UNIT})(?=\.\d))*"
    rf"(?:\d|{_MONTH}{_WORD_END})"
    rf"(?:[\d .,:;'+-]|(?:{_MONTH}|{_DAY}|{_FILLER}|{_UNIT}|{_CLOCK}){_WORD_END})*",
    re.IGNORECASE,
)
# As in ISO 8601: P1D, PT5M.
_DURATION = re.compile(r"-?P(?=.*\d)[\dDHMSTW.+-]*")
_NOT_TEXT = frozenset(
    "true false nan nat inf infinity null epoch now today "
    "__hive_default_partition__".split()
)


def load_models(names: list[str]) -> tuple[ModelSpec, ...]:
    """Checks all models of a run.

    Args:
        names: Names of registered models, or paths of graphs (.pb).

    Raises:
        ModelError: if a model cannot be used, readers of Parquet would mistake its
            name, or two models have the same name.
    """
    specs = tuple(load_model(name) for name in names)
    for index, spec in enumerate(specs):
        _check_name(spec.name)
        if spec.name in [other.name for other in specs[:index]]:
            raise ModelError(
                f"two models are named {spec.name!r}; rename one of the .pb files"
            )
    return specs


def _check_name(name: str) -> None:
    readable = _UNREADABLE.sub("-", name)
    if not _is_text(readable):
        readable = f"model-{readable.strip('_')}"
    if readable != name:
        raise ModelError(
            f"readers of Parquet mistake the folder of a model named {name!r}: "
            "expected a name that is not a number, a date, a duration or a constant, "
            "and that has none of = % \\ / ? * [ ] { }; rename its files, for example "
            f"to {readable}.pb and {readable}.json"
        )


def _is_text(name: str) -> bool:
    """False if readers of Parquet return something else than text for a name."""
    return not (
        name.strip().lower().lstrip("+-") in _NOT_TEXT
        or _NUMBER_OR_DATE.match(name)
        or _DATE_IN_WORDS.fullmatch(name)
        or _DURATION.fullmatch(name)
    )


def load_model(name: str) -> ModelSpec:
    """Reads a graph and the metadata beside it.

    Raises:
        ModelError: if the graph is missing or not an FSD-SINet, or if its metadata
            contradicts the graph.
    """
    path = find_graph(name)
    is_copy = not storage.is_local(name)
    model = registered_models().get(name)
    try:
        problem = hash_problem(model, path) if model else None
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror}") from error
    if model and problem:
        raise ModelError(
            f"{path} is not the model {name}: {problem}; {_how_to_get(model)}"
        )
    spec = read_model(path, data, read_metadata(path.with_suffix(".json")))
    # Workers on other machines make copies of their own.
    return dataclasses.replace(spec, graph_path=name) if is_copy else spec


def read_model(path: pathlib.Path, data: bytes, metadata: dict[str, Any]) -> ModelSpec:
    """Checks a graph against its metadata.

    Args:
        path: Path of the graph; its stem is the model's name.
        data: Content of the graph.
        metadata: Metadata in Essentia's format; a missing key has the value that it
            has for the published models.

    Raises:
        ModelError: if the graph is not an FSD-SINet, or the metadata contradicts it.
    """
    try:
        nodes = read_graph(data)
    except ValueError as error:
        raise ModelError(f"cannot read model {path}: {error}") from error
    try:
        return _check_model(path, data, nodes, metadata)
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ModelError(
            f"{path.with_suffix('.json')} is not in Essentia's format: expected "
            "classes (a list) and schema with inputs and outputs, each with name and "
            f"shape, outputs with output_purpose ({type(error).__name__}: {error})"
        ) from error


def _check_model(
    path: pathlib.Path, data: bytes, nodes: dict[str, Node], metadata: dict[str, Any]
) -> ModelSpec:
    names = _node_names(metadata)
    for node_name in names:
        if node_name not in nodes:
            raise ModelError(_missing_node(path, node_name, nodes))
    _check_input(path, nodes[names[0]])
    embedding_size, num_classes = _output_sizes(path, nodes, *names[1:])
    labels = _labels(path, metadata, num_classes)
    _check_schema(
        path, metadata, dict(zip(names[1:], (num_classes, embedding_size), strict=True))
    )
    return ModelSpec(
        path.stem,
        str(path),
        hashlib.sha256(data).hexdigest(),
        *names,
        labels,
        embedding_size,
    )


def find_graph(name: str) -> pathlib.Path:
    """The absolute path of a graph. Its hash is not checked.

    A graph in a bucket or on the web is copied to this machine, with its metadata.

    Args:
        name: Name of a registered model, or path or uri of a graph.

    Raises:
        ModelError: if there is no such graph.
    """
    model = registered_models().get(name)
    if not storage.is_local(name):
        return _copy_graph(name)
    path = (
        graph_path(model) if model else pathlib.Path(storage.local_path(name)).resolve()
    )
    if path.is_file():
        return path
    if model:
        raise ModelError(f"model {name} is not at {path}: {_how_to_get(model)}")
    known = registered_models()
    hint = did_you_mean(name, known)
    raise ModelError(
        f"no model {name!r}: expected the path of a .pb file or one of "
        f"{', '.join(known)}" + (f"; {hint}" if hint else "")
    )


def _copy_graph(uri: str) -> pathlib.Path:
    os.environ.setdefault(storage.COPIES_VARIABLE, str(cache_folder("copies")))
    try:
        path = storage.keep_copy(uri, storage.read_file(uri))
        metadata = path.with_suffix(".json")
        metadata.unlink(missing_ok=True)
        try:
            found = storage.read_file(storage.with_suffix(uri, ".json"))
        except StorageError as error:
            if error.kind != "not_found":
                raise
        else:
            metadata.write_bytes(found)
    except (StorageError, OSError) as error:
        raise ModelError(f"cannot read model {error}") from error
    return path


def _how_to_get(model: RegisteredModel) -> str:
    if model.bundled_file is not None:
        return "it comes with fsd-sinet-beam, so install fsd-sinet-beam again"
    return (
        f"run 'fsdsinet models fetch {model.name}', which downloads "
        f"{model.weights_url}, or set FSDSINET_MODELS to the folder that has it"
    )


def read_metadata(path: pathlib.Path) -> dict[str, Any]:
    """Reads the metadata of a graph (.json); empty if there is no such file.

    Raises:
        ModelError: if the file does not hold a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"cannot read model metadata {path}: {error}") from error
    if not isinstance(metadata, dict):
        raise ModelError(f"model metadata {path} is not a JSON object")
    return metadata


def _node_names(metadata: dict[str, Any]) -> tuple[str, str, str]:
    """Names of the input, activations and embeddings nodes."""
    schema = metadata.get("schema", {})
    inputs = [entry["name"] for entry in schema.get("inputs", [])]
    outputs = {e["output_purpose"]: e["name"] for e in schema.get("outputs", [])}
    return (
        inputs[0] if inputs else _INPUT,
        outputs.get("predictions", _ACTIVATIONS),
        outputs.get("embeddings", _EMBEDDINGS),
    )


def _missing_node(path: pathlib.Path, name: str, nodes: dict[str, Node]) -> str:
    ends = set(nodes) - {source for node in nodes.values() for source in node.inputs}
    inputs = [node.name for node in nodes.values() if node.op == "Placeholder"]
    return (
        f"model {path} has no node {name!r}: expected an FSD-SINet graph, found inputs "
        f"{sorted(inputs)[:10]} and outputs {sorted(ends)[:10]}; if they have other "
        f"names, give them in {path.with_suffix('.json').name} (schema)"
    )


def _check_input(path: pathlib.Path, node: Node) -> None:
    wrong = node.op != "Placeholder" or (
        node.shape is not None
        and (
            len(node.shape) != 4
            or node.shape[0] != -1
            or any(
                n not in (-1, w)
                for n, w in zip(node.shape[1:], _INPUT_SIZES, strict=True)
            )
        )
    )
    if wrong:
        raise ModelError(
            f"input {node.name!r} of model {path} is a {node.op} of {node.shape}, "
            f"expected a Placeholder of shape {(-1, *_INPUT_SIZES)} (batch, time, mel)"
        )


def _output_sizes(
    path: pathlib.Path, nodes: dict[str, Node], activations: str, embeddings: str
) -> tuple[int, int]:
    """Embedding size and number of classes, from the dense layer between the two."""
    passed = {"Sigmoid", "BiasAdd", "Add", "AddV2", "Identity"}
    node = nodes[activations]
    while node.op in passed and node.inputs:
        node = nodes[node.inputs[0]]
    kernel = nodes[node.inputs[1]] if node.op == "MatMul" else node
    while kernel.op in ("Identity", "ReadVariableOp") and kernel.inputs:
        kernel = nodes[kernel.inputs[0]]
    if node.op != "MatMul" or kernel.shape is None or len(kernel.shape) != 2:
        raise ModelError(
            f"{activations!r} of model {path} comes from {node.name!r} ({node.op}), "
            "expected Sigmoid, bias and a MatMul with a constant kernel"
        )
    source = nodes[node.inputs[0]]
    while source.op == "Identity" and source.name != embeddings:
        source = nodes[source.inputs[0]]
    if source.name != embeddings:
        raise ModelError(
            f"the dense layer of model {path} reads node {source.name!r}, "
            f"expected the embeddings {embeddings!r}"
        )
    return kernel.shape[0], kernel.shape[1]


def _labels(
    path: pathlib.Path, metadata: dict[str, Any], num_classes: int
) -> tuple[str, ...]:
    labels = metadata.get("classes", published_labels())
    where = path.with_suffix(".json")
    if "classes" not in metadata:
        where_text = f"no classes in {where}, and the published models have"
    else:
        where_text = f"{where} lists"
    if len(labels) != num_classes:
        raise ModelError(
            f"model {path} has {num_classes} activations, but {where_text} "
            f"{len(labels)} classes; give its {num_classes} classes in order"
        )
    if len(set(labels)) != len(labels) or not all(isinstance(x, str) for x in labels):
        raise ModelError(
            f"the classes in {where} are not {num_classes} different names"
        )
    return tuple(labels)


def _check_schema(
    path: pathlib.Path, metadata: dict[str, Any], sizes: dict[str, int]
) -> None:
    """Compares the shapes that the metadata states with those of the graph."""
    schema = metadata.get("schema", {})
    for entry in schema.get("inputs", []):
        stated = tuple(entry.get("shape", (None, *_INPUT_SIZES))[1:])
        if stated not in (_INPUT_SIZES, _PUBLISHED_INPUT_SIZES):
            raise ModelError(
                f"{path.with_suffix('.json')} states an input of shape {stated}, "
                f"expected {_INPUT_SIZES}"
            )
    for entry in schema.get("outputs", []):
        size = sizes.get(entry["name"])
        stated_size = entry.get("shape", [size])[-1]
        if size is not None and stated_size != size:
            raise ModelError(
                f"{path.with_suffix('.json')} states {stated_size} values for output "
                f"{entry['name']!r}, the graph gives {size}"
            )
