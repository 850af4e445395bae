"""Chooses the engine of each model: the requested one, or else the reference.

`winograd` and `torch` are compared with the reference in a process of its own, once for
a model, an installation and a processor; this also compiles `winograd`. The
reference's output is stored, so that every worker can compare again when it loads the
model. An engine that a program registered is compared only when a worker loads it.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import pickle
import platform
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np

import transforms
from transforms.elements import Prediction
from transforms.engines.contract import DEFAULT_PRECISION, ModelSpec
from transforms.engines.network import UnknownLayerError, read_network_of
from transforms.engines.registered import PACKAGES, check_engine_options
from transforms.errors import EngineError
from transforms.essentia_import import essentia_version, has_tensorflow
from transforms.front_end.patches import FRONT_END_VERSION
from transforms.job_control.child_process import child_environment
from transforms.models.cache import COMPILED, cache_folder, keep_compiled_code

_REFERENCE = "essentia"
# Modules whose code decides what an engine computes or what numba compiles.
_SOURCES = (
    "resampling/*.py",
    "engines/agreement.py",
    "engines/network.py",
    "engines/plain.py",
    "engines/torch/*.py",
    "engines/winograd/*.py",
    "front_end/mel*.py",
)


def choose_engines(
    models: Sequence[ModelSpec],
    engine: str,
    say: Callable[[str], None] = warnings.warn,
    precision: str = DEFAULT_PRECISION,
) -> tuple[ModelSpec, ...]:
    """The models, each with the engine that runs it.

    Args:
        models: Checked models.
        engine: Name of the requested engine.
        say: Called with a message if the reference runs a model instead of `engine`.
        precision: One of PRECISIONS, in which the engine computes.

    Raises:
        ValueError: if no engine has that name, or it does not compute in `precision`.
        EngineError: if the reference is needed, and Essentia has no TensorFlow.
    """
    check_engine_options(engine, precision)
    # Workers compile the resampler with every engine.
    keep_compiled_code()
    if engine == _REFERENCE:
        return tuple(_with_reference(model) for model in models)
    chosen = []
    for model in models:
        spec = dataclasses.replace(model, engine=engine, precision=precision)
        found = _checked(spec)
        if isinstance(found, Prediction):
            chosen.append(dataclasses.replace(spec, expected=found))
        else:
            chosen.append(_with_reference(model, f"{engine} cannot: {found}"))
            say(f"{_REFERENCE} runs {model.name} instead of {engine}: {found}")
    return tuple(chosen)


def _with_reference(model: ModelSpec, reason: str = "") -> ModelSpec:
    """The model with the reference engine, which needs Essentia's TensorFlow."""
    if not has_tensorflow():
        raise EngineError(
            f"engine {_REFERENCE} cannot run {model.name}: the installed package "
            "`essentia` has no TensorFlow; install `essentia-tensorflow` instead"
            + (f" ({reason})" if reason else "")
        )
    return dataclasses.replace(model, engine=_REFERENCE)


def _checked(spec: ModelSpec) -> Prediction | str:
    """The reference's output, or why the engine cannot be used."""
    package = PACKAGES.get(spec.engine)
    if package and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    path = cache_folder(COMPILED) / f"{_key(spec)}.npz"
    known = _read(path)
    if known is not None:
        return known
    if package:
        try:
            read_network_of(spec)
        except UnknownLayerError as error:
            return str(error)
    found = _in_own_process(spec)
    if not isinstance(found, str):
        _write(path, found)
    return found


def _in_own_process(spec: ModelSpec) -> Prediction | str:
    """Checks in a child process, which frees its memory and may crash in numba."""
    found = _run_check(spec)
    folder = cache_folder(COMPILED)
    if isinstance(found, str) and any(folder.iterdir()):
        # Damaged compiled code would make every later run use the slower reference.
        shutil.rmtree(folder, ignore_errors=True)
        found = _run_check(spec)
    return found


def _run_check(spec: ModelSpec) -> Prediction | str:
    done = subprocess.run(
        [sys.executable, "-m", "transforms.models.check_engine"],
        input=pickle.dumps(spec),
        capture_output=True,
        env=child_environment(),
    )
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines() or ["no message"]
        return f"the process that checks the engine has died ({lines[-1]})"
    found: Prediction | str = pickle.loads(done.stdout)
    return found


def _key(spec: ModelSpec) -> str:
    """A hash of everything that decides the results and the compiled code."""
    folder = pathlib.Path(transforms.__file__).parent
    parts = [
        spec.sha256,
        spec.engine_text,
        spec.activations_node,
        spec.embeddings_node,
        str(FRONT_END_VERSION),
        essentia_version(),
        *_installed_versions(PACKAGES.values()),
        _processor(),
        # numba stores compiled code by the path of the module.
        str(folder),
        *(path.read_text("utf-8") for path in _source_files(folder)),
    ]
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:24]


def _installed_versions(packages: Iterable[str]) -> list[str]:
    found = []
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(importlib.metadata.version(name))
    return found


def _source_files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = []
    for pattern in _SOURCES:
        found = sorted(folder.glob(pattern))
        assert found, f"no module matches {pattern}: was it moved?"
        files += found
    return files


def _processor() -> str:
    """Name and features of the processor."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(
        sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))})
    )


def _read(path: pathlib.Path) -> Prediction | None:
    try:
        with np.load(path) as arrays:
            return Prediction(arrays["activations"], arrays["embeddings"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: pathlib.Path, expected: Prediction) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, activations=expected.activations, embeddings=expected.embeddings)
    partial.replace(path)
