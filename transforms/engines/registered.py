"""The table of engines: maps the name of an engine to the function that builds it.

`essentia` is the reference, `winograd` is the fastest on a CPU, `torch` runs on CUDA
devices. `register_engine` adds others.
"""

import importlib.util
import re
from collections.abc import Callable

from transforms.engines.agreement import require_agreement
from transforms.engines.contract import (
    DEFAULT_PRECISION,
    PRECISIONS,
    Engine,
    ModelSpec,
)
from transforms.engines.essentia import EssentiaEngine
from transforms.errors import unknown_value

EngineFactory = Callable[[ModelSpec], Engine]

DEFAULT_ENGINE = "winograd"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _winograd(spec: ModelSpec) -> Engine:
    # numba takes half a second to import, and is not available on every platform.
    from transforms.engines.winograd.engine import WinogradEngine

    return WinogradEngine(spec)


def _torch(spec: ModelSpec) -> Engine:
    # PyTorch is an optional package.
    from transforms.engines.torch.engine import TorchEngine

    return TorchEngine(spec)


ENGINES: dict[str, EngineFactory] = {
    "essentia": EssentiaEngine,
    "winograd": _winograd,
    "torch": _torch,
}
# The package that an engine imports. These engines read the layers of the graph, and
# cannot run others.
PACKAGES = {"winograd": "numba", "torch": "torch"}


def register_engine(name: str, factory: EngineFactory) -> None:
    """Adds an engine for this process and for the pipelines that it builds.

    When a model is loaded, the engine is compared with Essentia on a few fixed sounds;
    a difference of more than 1e-4 is an error (see `agreement.py`).

    Args:
        name: Name of the engine: lower-case letters, digits and underscores.
        factory: Called with a ModelSpec in every worker process. Pipelines pickle it.

    Raises:
        ValueError: if the name is malformed, or belongs to another factory.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"engine name is {name!r}, expected lower-case letters, digits and _"
        )
    if ENGINES.setdefault(name, factory) is not factory:
        raise ValueError(f"an engine named {name!r} exists; choose another name")


def check_engine_options(name: str, precision: str = DEFAULT_PRECISION) -> None:
    """Checks that there is such an engine, and that it computes in such a precision.

    Raises:
        ValueError: if not, or if the engine's package is not installed.
    """
    engine_factory(name)
    if precision not in PRECISIONS:
        raise ValueError(unknown_value("precision", precision, PRECISIONS))
    if name == "torch" and importlib.util.find_spec("torch") is None:
        raise ValueError(
            "engine torch needs PyTorch, which is not installed here; "
            "pip install 'fsd-sinet-beam[torch]'"
        )
    if name != "torch" and precision != DEFAULT_PRECISION:
        raise ValueError(
            f"engine {name} computes in {DEFAULT_PRECISION}, got precision "
            f"{precision}; give --engine torch"
        )


def engine_factory(name: str) -> EngineFactory:
    """The factory of an engine.

    Raises:
        ValueError: if no engine has that name.
    """
    if name not in ENGINES:
        raise ValueError(unknown_value("engine", name, ENGINES))
    return ENGINES[name]


def load_engine(spec: ModelSpec, factory: EngineFactory | None = None) -> Engine:
    """Makes the engine of a model and compares it with the reference.

    Args:
        spec: Model with its engine.
        factory: Makes the engine; the one in the table if None.

    Raises:
        RuntimeError: if the engine disagrees with the reference on this machine.
    """
    engine = (factory or engine_factory(spec.engine))(spec)
    require_agreement(spec, engine)
    return engine
