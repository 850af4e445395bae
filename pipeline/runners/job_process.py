"""JobProcess: runs a Beam job in a process of its own, and kills all its processes.

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
from typing import Any, BinaryIO, Self

from pipeline.errors import ConfigError
from pipeline.runners.failure_reason import plain_reason
from transforms.job_control.child_process import (
    WORKER_ENVIRONMENT,
    child_environment,
    die_with_parent,
    wait_for_end,
)
from transforms.job_control.status import STATUS_FOLDER_VARIABLE
from transforms.models.cache import keep_compiled_code

LOCAL_JOB = "pipeline.runners.local.job"
COUNTERS_NAME = "counters"
_POLL_S = 0.2
# A job that fails in every worker writes a fifth of this to its log.
_LOG_BYTES = 1 << 20


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
        with open(_log_path(self.folder), "w+b") as log:
            _reserve(log)
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
        reason: Why the job failed; if None, the log is searched for the reason.
    """
    log = job_log(folder)
    reason = reason or plain_reason(log) or f"no output, exit code {code}"
    return f"the job failed: {reason}\nits log: {_keep_log(log)}"


def job_log(folder: str) -> str:
    """The output of the job and its workers so far."""
    log = _log_path(folder).read_text(encoding="utf-8", errors="replace")
    return log.rstrip("\0")


def _keep_log(log: str) -> str:
    """Writes a log to a file that stays; returns its path, or why there is none."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="fsdsinet-", suffix=".log", delete=False, encoding="utf-8"
        ) as kept:
            kept.write(log)
    except OSError as error:
        return f"it could not be kept in {tempfile.gettempdir()}: {error.strerror}"
    return kept.name


def _reserve(log: BinaryIO) -> None:
    """Reserves space for the log, which must have room when a disk is full.

    Raises:
        ConfigError: if there is not enough space.
    """
    try:
        os.posix_fallocate(log.fileno(), 0, _LOG_BYTES)
    except OSError as error:
        raise ConfigError(
            f"temporary folder {tempfile.gettempdir()}: {error.strerror}; free space "
            "there, or set TMPDIR to another folder"
        ) from error


def _log_path(folder: str) -> pathlib.Path:
    return pathlib.Path(folder) / "log"
