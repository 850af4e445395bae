"""Imports Essentia the one way that is quiet, single-threaded and safe.

Essentia holds the GIL while it computes. A worker process therefore has one thread, and
TensorFlow's own thread pools are switched off, which must be done before the import.
A process that imported Essentia must not fork: its child hangs in TensorFlow.
"""

import functools
import importlib.metadata
import os
from collections.abc import Callable
from typing import Any

# TF_ENABLE_ONEDNN_OPTS=1 divides by zero on AMD processors in the bundled
# TensorFlow 2.5, and changes the numbers elsewhere.
TENSORFLOW_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


@functools.cache
def essentia() -> Any:
    """The `essentia` module, which prints nothing but errors."""
    os.environ.update(TENSORFLOW_ENVIRONMENT)
    import essentia as module

    module.log.infoActive = False
    module.log.warningActive = False
    return module


def algorithm(name: str, **parameters: object) -> Callable[..., Any]:
    """Makes one of Essentia's algorithms.

    This avoids `essentia.standard`, whose import makes a class of every algorithm,
    which takes 0.8 s in each process, and which checks every argument of every call.

    Args:
        name: Name of the algorithm.
        parameters: Settings of the algorithm; real numbers must be floats.

    Returns:
        The algorithm's compute function. It does not convert arrays: they must be
        contiguous float32.
    """
    essentia()
    from essentia import _essentia

    made = _essentia.Algorithm(name)
    made.__configure__(**parameters)
    compute: Callable[..., Any] = made.__compute__
    return compute


@functools.cache
def has_tensorflow() -> bool:
    """Whether the installed Essentia can run graphs: package `essentia` cannot."""
    essentia()
    from essentia import _essentia

    return "TensorflowPredict" in _essentia.keys()


def essentia_version() -> str:
    """Version of package `essentia-tensorflow`, or of `essentia` if that is missing."""
    try:
        return importlib.metadata.version("essentia-tensorflow")
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version("essentia")


@functools.cache
def essentia_standard() -> Any:
    """The `essentia.standard` module, for code whose speed does not matter."""
    essentia()
    import essentia.standard as module

    return module
