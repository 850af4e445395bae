"""JobProcess: runs a Beam job in a process of its own, and ends all that it started.

Beam waits forever for a job whose worker or job server is gone, and may leave these
processes behind. A process group can be killed as a whole.
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

from transforms.models.cache import keep_compiled_code
from transforms.workers.child_process import (
    WORKER_ENVIRONMENT,
    child_environment,
    die_with_parent,
    wait_for_end,
)
from transforms.workers.status import STATUS_FOLDER_VARIABLE

LOCAL_JOB = "pipeline.runners.local.job"
COUNTERS_NAME = "counters"
_POLL_S = 0.2


class JobError(Exception):
    """A job ended early. The next run continues after the shards that it committed."""


class JobProcess:
    """A process that imports a job module, and then waits for its job.

    The process can be started before there is a job, because Beam takes most of a
    second to load. As a context manager it kills the job's whole process group on exit.

    Attributes:
        folder: Temporary folder in which the job writes its results and its workers
            their status; removed on exit.
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
            **WORKER_ENVIRONMENT,
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
            job: Object that `receive_job` returns in the process.
            poll: Called several times a second.

        Returns:
            The exit code.
        """
        assert self._process.stdin is not None
        # Variables that were set since the process was started.
        variables = dict(os.environ.items() - self._variables.items())
        # A job that has ended already says why in its log.
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
        """Kills the process group. A second call does nothing: the id may be reused."""
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
    """For a job module: ties this process to its parent and reads the job."""
    die_with_parent()
    # The launcher handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        variables, job = pickle.load(sys.stdin.buffer)
    except EOFError:
        sys.exit("there is no job")
    os.environ.update(variables)
    os.environ.update(child_environment())
    return job


def write_result(folder: str, name: str, content: object) -> None:
    """Writes a result for the launcher."""
    text = json.dumps(content)
    (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")


def read_result(folder: str, name: str) -> Any:
    """Reads a result that a job has written."""
    return json.loads((pathlib.Path(folder) / name).read_text(encoding="utf-8"))


def job_failure(folder: str, code: int, reason: str | None = None) -> str:
    """The message of a job that failed. Its whole log is kept in a file.

    Args:
        folder: Folder of the job process.
        code: Exit code of the job process.
        reason: Why the job failed; if None, the last line of its log.
    """
    reason = reason or last_line(folder) or f"no output, exit code {code}"
    return f"the job failed: {reason}\nits log: {keep_log(folder)}"


def last_line(folder: str) -> str:
    """The last line of the job's log that is not empty; empty if there is none."""
    lines = [line for line in job_log(folder).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def job_log(folder: str) -> str:
    """The output of the job and its workers so far."""
    return _log_path(folder).read_text(encoding="utf-8", errors="replace")


def keep_log(folder: str) -> str:
    """Copies the log to a file that is not removed; returns its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="fsdsinet-", suffix=".log", delete=False, encoding="utf-8"
    ) as kept:
        kept.write(job_log(folder))
    return kept.name


def _log_path(folder: str) -> pathlib.Path:
    return pathlib.Path(folder) / "log"
