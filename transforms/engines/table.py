"""The table of engines: which name stands for which way of running a graph.

`essentia` is the reference, `winograd` the fastest. A new engine adds a class and a
line in ENGINES.
"""

from collections.abc import Callable

from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.essentia import EssentiaEngine


def _winograd(spec: ModelSpec) -> Engine:
    # numba takes half a second to import, and does not exist for every platform.
    from transforms.engines.winograd.engine import WinogradEngine

    return WinogradEngine(spec)


ENGINES: dict[str, Callable[[ModelSpec], Engine]] = {
    "essentia": EssentiaEngine,
    "winograd": _winograd,
}
