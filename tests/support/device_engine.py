"""An engine that claims to use a device, and shards for engines of tests."""

import dataclasses
import threading
from collections.abc import Callable

import numpy as np

from transforms.elements import AudioInfo, Clip, Failure, FloatArray, Prediction, Shard
from transforms.engines.contract import ModelSpec

NUM_CLASSES, EMBEDDING_SIZE = 200, 32
DEADLINE_S = 30.0


def await_event(event: threading.Event, what: str) -> None:
    """Waits for an event. Raises TimeoutError if it does not come."""
    if not event.wait(DEADLINE_S):
        raise TimeoutError(f"{what} did not happen within {DEADLINE_S} s")


class CoreEngine:
    """Results that depend on the patch, computed at once on a core.

    Attributes:
        before_call: Called with the number of the call before the engine computes.
        threads: Names of the threads that called.
    """

    uses_device = False
    before_call: Callable[[int], None] = staticmethod(lambda number: None)

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.threads: list[str] = []

    def run(self, patches: FloatArray) -> Prediction:
        self.threads.append(threading.current_thread().name)
        type(self).before_call(len(self.threads) - 1)
        means = np.array([patch.mean() for patch in patches], np.float32)
        sizes = (np.arange(n, dtype=np.float32) for n in (NUM_CLASSES, EMBEDDING_SIZE))
        return Prediction(*(np.outer(means, size) for size in sizes))


class DeviceEngine(CoreEngine):
    """The same results, from a device."""

    uses_device = True


def shard_of(sizes: list[int | None]) -> Shard:
    """A shard of clips with these numbers of patches; None for one that failed."""
    clips = []
    for index, size in enumerate(sizes):
        clip = Clip(str(index), f"/{index}.wav", AudioInfo(1.0, 44_100, 1, "pcm"))
        if size is None:
            clip = dataclasses.replace(clip, failure=Failure("decode", "x", "y"))
        else:
            rng = np.random.default_rng(index)
            patches = rng.standard_normal((size, 101, 96)).astype(np.float32)
            clip = dataclasses.replace(clip, patches=patches)
        clips.append(clip)
    return Shard("shard", tuple(clips))
