"""The table of engines: maps the name of an engine to the function that builds it.

`essentia` is the reference, `winograd` is the fastest. `register_engine` adds others.
"""

import re
from collections.abc import Callable

from transforms.engines.agreement import require_agreement
from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.essentia import EssentiaEngine
from transforms.errors import unknown_value

EngineFactory = Callable[[ModelSpec], Engine]

DEFAULT_ENGINE = "winograd"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _winograd(spec: ModelSpec) -> Engine:
    # numba takes half a second to import, and is not available on every platform.
    from transforms.engines.winograd.engine import WinogradEngine

    return WinogradEngine(spec)


ENGINES: dict[str, EngineFactory] = {
    "essentia": EssentiaEngine,
    "winograd": _winograd,
}


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
