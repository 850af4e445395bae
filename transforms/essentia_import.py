"""Imports Essentia the one way that is quiet, single-threaded and safe.

Essentia holds the GIL while it computes, so a worker process is one thread and
TensorFlow's own pools only get in the way. All of it must be set before the import.
A process that imported Essentia must not fork: its child hangs in TensorFlow.
"""

import functools
import os
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
    """The `essentia` module, silenced."""
    os.environ.update(TENSORFLOW_ENVIRONMENT)
    import essentia as module

    module.log.infoActive = False
    module.log.warningActive = False
    return module


@functools.cache
def essentia_standard() -> Any:
    """The `essentia.standard` module, silenced."""
    essentia()
    import essentia.standard as module

    return module
