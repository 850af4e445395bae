"""fsdsinet-worker: starts Beam SDK workers on a machine of a cluster.

    fsdsinet-worker --id=... --provision_endpoint=... ...   one worker
    fsdsinet-worker --pool --port=50000                     a pool that starts workers

The first form is what Beam's SDK container contract calls boot. Runners start it if
the environment of a job is PROCESS. The second form serves jobs with an EXTERNAL
environment. Both install nothing: workers run in the Python in which this program is
installed. Workers end with the process that started this program. If a worker dies, the
clip that it worked on is noted. A clip on which two workers died is given up.
"""

import argparse
import os
import pathlib
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transforms.job_control.child_process import WORKER_ENVIRONMENT
from transforms.job_control.status import STATUS_FOLDER_VARIABLE
from transforms.models.cache import keep_compiled_code

if TYPE_CHECKING:
    from pipeline.runners.workers.pool import WorkerPool

ENDPOINTS = ("logging", "artifact", "provision", "control")
_WATCH_S = 0.5
_DEFAULT_PORT = 50000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one worker, or a pool, until it ends; returns the exit code."""
    # Workers print to standard error, because nobody may read standard output.
    os.dup2(2, 1)
    parsed = _parser().parse_args(argv)
    if not parsed.pool and not (parsed.id and parsed.provision_endpoint):
        _parser().error("expected --pool, or --id and --provision_endpoint of a runner")
    with tempfile.TemporaryDirectory(prefix="fsdsinet-worker-") as folder:
        os.environ.update({**WORKER_ENVIRONMENT, STATUS_FOLDER_VARIABLE: folder})
        keep_compiled_code()
        return _run(parsed, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fsdsinet-worker", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pool", action="store_true", help="start workers on request")
    parser.add_argument(
        "--port", type=int, default=_DEFAULT_PORT, help="port of the pool"
    )
    # Prism puts quotes around the name.
    parser.add_argument(
        "--id", type=lambda text: text.strip("'"), help="name of the worker"
    )
    for name in ENDPOINTS:
        parser.add_argument(f"--{name}_endpoint", metavar="HOST:PORT")
    return parser


def boot_path() -> str:
    """The path of this program as an executable file."""
    return str(pathlib.Path(sys.executable).with_name("fsdsinet-worker"))


def _run(parsed: argparse.Namespace, folder: str) -> int:
    # numpy reads the environment when it is imported: import it only now.
    from pipeline.runners.workers.fork_server import start_fork_server
    from pipeline.runners.workers.pool import WorkerPool

    starter = os.getppid()
    pool = WorkerPool(start_fork_server(), folder)
    if parsed.pool:
        from pipeline.runners.workers.external_pool import serve_pool

        return serve_pool(pool, parsed.port)
    return _run_worker(pool, parsed, starter)


def _run_worker(pool: "WorkerPool", parsed: argparse.Namespace, starter: int) -> int:
    """Runs one worker until it ends, or until this program is told to end."""
    from pipeline.runners.workers.worker import WorkerRequest

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = pool.start(
        WorkerRequest(
            parsed.id,
            parsed.provision_endpoint,
            parsed.control_endpoint or "",
            parsed.logging_endpoint or "",
        )
    )
    while os.getppid() == starter and not stop.is_set():
        if (code := pool.wait(worker, _WATCH_S)) is not None:
            return code
    pool.stop(worker)
    return 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main())
