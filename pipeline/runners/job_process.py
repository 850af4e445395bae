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
from collections.abc import Callable
from typing import Any, Self

from transforms.essentia_import import TENSORFLOW_ENVIRONMENT
from transforms.models.cache import keep_compiled_code
from transforms.workers.child_process import (
    child_environment,
    die_with_parent,
    wait_for_end,
)
from transforms.workers.status import STATUS_FOLDER_VARIABLE

LOCAL_JOB = "pipeline.runners.local.job"
COUNTERS_NAME = "counters"
_POLL_S = 0.2


class JobError(Exception):
    """A job ended early. What it committed stays, and the next run continues."""


class JobProcess:
    """A job module that imports what it needs, and then waits for its job.

    So it can be started before there is a job: Beam takes most of a second to load.
    A context that leaves nothing behind: all is in the job's process group.

    Attributes:
        folder: Where the job leaves its results, and its workers their status; it goes
            with the process.
    """

    def __init__(self, module: str) -> None:
        """Starts a module whose `main` calls `receive_job`."""
        self._temporary = tempfile.TemporaryDirectory(prefix="fsdsinet-")
        self.folder = self._temporary.name
        self._is_closed = False
        keep_compiled_code()
        self._variables = dict(os.environ)
        environment = {
            **child_environment(),
            **TENSORFLOW_ENVIRONMENT,
            "OMP_NUM_THREADS": "1",
            STATUS_FOLDER_VARIABLE: self.folder,
            # Beam leaves temporary folders; this one is removed at the end.
            "TMPDIR": self.folder,
        }
        with open(_log_path(self.folder), "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def run(self, job: object, poll: Callable[[], None]) -> int:
        """Runs a job to its end.

        Args:
            job: What `receive_job` returns there.
            poll: Called several times a second.

        Returns:
            The exit code.
        """
        assert self._process.stdin is not None
        # Set since the process was started.
        variables = dict(os.environ.items() - self._variables.items())
        # A job that ended at once says why in its log.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(pickle.dumps((variables, job)))
            self._process.stdin.close()
        while (code := wait_for_end(self._process, _POLL_S)) is None:
            poll()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all of it. Again does nothing: others may have its number by then."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._temporary.cleanup()


def receive_job() -> Any:
    """For a job module: gets ready to be ended with its parent, and reads its job."""
    die_with_parent()
    # Ctrl-C is the launcher's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        variables, job = pickle.load(sys.stdin.buffer)
    except EOFError:
        sys.exit("there is no job")
    os.environ.update(variables)
    os.environ.update(child_environment())
    return job


def leave(folder: str, name: str, content: object) -> None:
    """Leaves a result for the launcher."""
    text = json.dumps(content)
    (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")


def take(folder: str, name: str) -> Any:
    """What a job has left."""
    return json.loads((pathlib.Path(folder) / name).read_text(encoding="utf-8"))


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
