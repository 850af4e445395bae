"""The one thread of a process in which the engines of a device run.

While it waits for the device, the worker prepares its next shard. There is one thread,
so that no engine is called twice at a time, and the device gets shards in their order.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import Engine, uses_device

Result = TypeVar("Result")

# The thread starts with the first call, after the process was forked.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="device")


def start_in_thread(function: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Calls a function in the thread, after what was started before."""
    return _THREAD.submit(function, *arguments)


def compute_elsewhere(engines: Mapping[str, Engine]) -> bool:
    """Whether all engines use a device. One that does not needs this core itself."""
    return all(map(uses_device, engines.values()))


def run_engines(
    engines: Mapping[str, Engine], patches: FloatArray
) -> dict[str, Prediction]:
    """Predictions by name of the model, from engines that this thread may call."""
    return {name: engine.run(patches) for name, engine in engines.items()}


def run_in_turn(
    engines: Mapping[str, Engine], patches: FloatArray
) -> dict[str, Prediction]:
    """Predictions by name of the model; waits while a device has other work."""
    if compute_elsewhere(engines):
        return start_in_thread(run_engines, engines, patches).result()
    return run_engines(engines, patches)
