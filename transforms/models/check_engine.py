"""python -m transforms.models.check_engine: compares an engine with the reference.

This compiles the engine, the resampler and the log-mel filters, so that workers find
all compiled code in the cache. An engine that the calling program registered is unknown
in this process and is not compared here.

Reads a pickled ModelSpec from standard input. Writes to standard output a pickled
Prediction (the reference's output), or text that says why the engine cannot be used.
"""

import pickle
import sys

from transforms.elements import Prediction
from transforms.engines.agreement import disagreement, reference
from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.registered import ENGINES
from transforms.job_control.child_process import die_with_parent
from transforms.resampling.whole import compile_kernel


def check_engine(spec: ModelSpec) -> Prediction | str:
    """Compiles the engine of a model and compares it with the reference."""
    try:
        engine = ENGINES[spec.engine](spec) if spec.engine in ENGINES else None
        compile_kernel()
        expected = reference(spec)
        return _problem(spec, engine, expected) or expected
    except Exception as error:
        # The compiler may fail in any way on an unusual machine.
        return f"{type(error).__name__}: {error}"


def _problem(spec: ModelSpec, engine: Engine | None, expected: Prediction) -> str:
    if engine is None:
        return ""
    return disagreement(engine, expected, tolerance=spec.tolerance)


def main() -> None:
    die_with_parent()
    found = check_engine(pickle.load(sys.stdin.buffer))
    pickle.dump(found, sys.stdout.buffer)


if __name__ == "__main__":
    main()
