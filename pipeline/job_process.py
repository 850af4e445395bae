"""A Beam job in a process of its own: how it is started, what it leaves, how it ends.

Beam waits for a job for ever when a worker or a server of its own is gone, and what
it starts (workers, a job server) it may leave behind. A process group can be ended.
"""

import contextlib
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.process import child_environment, die_with_parent
from transforms.essentia_import import TENSORFLOW_ENVIRONMENT
from transforms.progress import METRICS_NAMESPACE, STATUS_FOLDER_VARIABLE

COUNTERS_NAME = "counters"
_POLL_S = 0.2


class JobError(Exception):
    """A job ended early. What it committed stays, and the next run continues."""


def run_job_process(
    module: str, job: object, folder: str, poll: Callable[[], None]
) -> int:
    """Runs a job module to its end; kills all that it started on any error.

    Args:
        module: Its `main` calls `receive_job`.
        job: What it receives.
        folder: Where the job leaves its results, and its workers their status.
        poll: Called several times a second.

    Returns:
        The exit code.
    """
    environment = {
        **child_environment(),
        **TENSORFLOW_ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        STATUS_FOLDER_VARIABLE: folder,
        # Beam leaves temporary folders; this one is removed at the end.
        "TMPDIR": folder,
    }
    with open(_log_path(folder), "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    with _killed_at_end(process):
        assert process.stdin is not None
        # A job that ended at once says why in its log.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps(job))
            process.stdin.close()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_S)
            poll()


@contextlib.contextmanager
def _killed_at_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leaves nothing behind: all is in the job's process group."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def receive_job() -> Any:
    """For a job module: gets ready to be ended with its parent, and reads its job."""
    die_with_parent()
    # Ctrl-C is the launcher's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = pickle.load(sys.stdin.buffer)
    os.environ.update(child_environment())
    return job


def leave(folder: str, name: str, content: object) -> None:
    """Leaves a result for the launcher."""
    text = json.dumps(content)
    (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")


def take(folder: str, name: str) -> Any:
    """What a job has left."""
    return json.loads((pathlib.Path(folder) / name).read_text(encoding="utf-8"))


def our_counters(result: Any) -> dict[str, int]:
    """Our counters of a Beam PipelineResult that is done, by name."""
    return {
        counter.key.metric.name: counter.committed
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == METRICS_NAMESPACE
    }


def job_problem(code: int, folder: str) -> str:
    """A message with the job's own words; its whole log is kept."""
    lines = [line for line in job_log(folder).splitlines() if line.strip()]
    last = lines[-1] if lines else f"no output, exit code {code}"
    return f"the job failed: {last}\nits log: {keep_log(folder)}"


def job_log(folder: str) -> str:
    """What the job said so far."""
    return _log_path(folder).read_text(encoding="utf-8", errors="replace")


def keep_log(folder: str) -> str:
    """Copies the log to a file that stays; returns its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="fsdsinet-", suffix=".log", delete=False, encoding="utf-8"
    ) as kept:
        kept.write(job_log(folder))
    return kept.name


def _log_path(folder: str) -> pathlib.Path:
    return pathlib.Path(folder) / "log"
