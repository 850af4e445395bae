"""Checks one model: its hash, graph and classes, and its results in every engine."""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from transforms.elements import Prediction
from transforms.engines.agreement import (
    check_sounds,
    differences,
    patches_of,
)
from transforms.engines.contract import DEFAULT_PRECISION, TOLERANCES, ModelSpec
from transforms.engines.network import UnknownLayerError
from transforms.engines.registered import ENGINES, PACKAGES
from transforms.errors import UserError
from transforms.models.cache import keep_compiled_code
from transforms.models.loading import find_graph, read_metadata, read_model
from transforms.models.registry import file_hash, hash_problem, registered_models


@dataclasses.dataclass(frozen=True)
class Check:
    """Result of one check. As text, it is one line of output."""

    name: str
    is_good: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.is_good else 'FAILED':<7}{self.name:<9}{self.text}"


def verify_model(name: str) -> Iterator[Check]:
    """Checks a registered model, or the file of a graph.

    Raises:
        ModelError: if there is no such model.
    """
    # numba compiles code for the engines and needs a folder that can be written.
    keep_compiled_code()
    path = find_graph(name)
    yield Check("file", True, str(path))
    try:
        yield _check_hash(path)
        metadata = read_metadata(path.with_suffix(".json"))
        spec = read_model(path, path.read_bytes(), metadata)
    except (UserError, OSError) as error:
        yield Check("graph", False, str(error))
        return
    yield from _check_spec(spec, "classes" in metadata)
    yield from _check_engines(spec)


def _check_hash(path: pathlib.Path) -> Check:
    model = registered_models().get(path.stem)
    if model is None:
        text = f"sha256 {file_hash(path, 'sha256')}; no known hash for this name"
        return Check("hash", True, text)
    problem = hash_problem(model, path)
    return Check("hash", not problem, problem or f"{model.hash}, as expected")


def _check_spec(spec: ModelSpec, has_classes: bool) -> Iterator[Check]:
    nodes = f"{spec.activations_node}, {spec.embeddings_node}"
    yield Check("nodes", True, f"{spec.input_node} -> {nodes}")
    model = registered_models().get(spec.name)
    sizes = (
        f"activations [patches, {len(spec.labels)}], "
        f"embeddings [patches, {spec.embedding_size}]"
    )
    if model and model.embedding_size != spec.embedding_size:
        problem = f"; expected embeddings of {model.embedding_size}"
        yield Check("shapes", False, sizes + problem)
    else:
        yield Check("shapes", True, sizes)
    origin = "from the metadata" if has_classes else "no metadata: the published names"
    yield Check("classes", True, f"{len(spec.labels)}, {origin}")


def _check_engines(spec: ModelSpec) -> Iterator[Check]:
    sounds = {name: patches_of(x) for name, x in check_sounds().items()}
    reference: tuple[str, dict[str, Prediction]] | None = None
    for engine_name, create in ENGINES.items():
        try:
            engine = create(spec)
            results = {name: engine.run(patches) for name, patches in sounds.items()}
        except UnknownLayerError as error:
            yield Check(engine_name, True, f"cannot run this graph: {error}")
            continue
        except ModuleNotFoundError as error:
            is_optional = error.name == PACKAGES.get(engine_name)
            yield Check(engine_name, is_optional, f"{error.name} is not installed")
            continue
        except (RuntimeError, ValueError, ImportError) as error:
            yield Check(engine_name, False, f"{type(error).__name__}: {error}")
            continue
        for sound, result in results.items():
            yield _check_result(engine_name, sound, result)
        if reference:
            yield _check_difference(engine_name, results, *reference)
        reference = reference or (engine_name, results)


def _check_result(engine: str, sound: str, result: Prediction) -> Check:
    activations, embeddings = result.activations, result.embeddings
    finite = np.isfinite(activations).all() and np.isfinite(embeddings).all()
    in_range = activations.min() >= 0 and activations.max() <= 1
    text = (
        f"{sound}: {len(activations)} patches, activations {activations.min():.3g} to "
        f"{activations.max():.3g}, embeddings {embeddings.min():.3g} to "
        f"{embeddings.max():.3g}"
    )
    if not (finite and in_range):
        text += "; expected finite numbers, activations from 0 to 1"
    return Check(engine, bool(finite and in_range), text)


def _check_difference(
    engine: str,
    results: dict[str, Prediction],
    reference_engine: str,
    reference: dict[str, Prediction],
) -> Check:
    """Compares the results of two engines over all check sounds.

    Differences of embeddings are relative to the largest embedding value.
    """
    by_sound = [differences(results[sound], reference[sound]) for sound in reference]
    tolerance = TOLERANCES[DEFAULT_PRECISION]
    # np.max, unlike Python's max, returns NaN if any value is NaN.
    activations, embeddings = np.max(by_sound, axis=0)
    text = (
        f"against {reference_engine}: activations differ by {activations:.2g}, "
        f"embeddings by {embeddings:.2g} of the largest; expected up to "
        f"{tolerance:g}"
    )
    is_good = activations <= tolerance and embeddings <= tolerance
    return Check(engine, bool(is_good), text)
