"""The table of engines: maps the name of an engine to the function that builds it.

`essentia` is the reference, `winograd` is the fastest. A new engine needs a class and a
line in ENGINES.
"""

from collections.abc import Callable

from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.essentia import EssentiaEngine


def _winograd(spec: ModelSpec) -> Engine:
    # numba takes half a second to import, and is not available on every platform.
    from transforms.engines.winograd.engine import WinogradEngine

    return WinogradEngine(spec)


ENGINES: dict[str, Callable[[ModelSpec], Engine]] = {
    "essentia": EssentiaEngine,
    "winograd": _winograd,
}
