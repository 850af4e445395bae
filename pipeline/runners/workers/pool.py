"""WorkerPool: starts and stops the workers of this process, and notes their deaths.

One pool serves a local run, another one each machine of a cluster. Both get their
workers from a fork server, see every worker end, and kill a worker whose clip takes
longer than its time limit.
"""

import contextlib
import itertools
import json
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from pipeline.runners.workers.fork_server import Ended, Kill, Load, Start, Stop
from pipeline.runners.workers.worker import WorkerRequest
from transforms.engines.contract import ModelSpec
from transforms.job_control.deaths import (
    note_death,
    note_death_with_two_shards,
    note_timeout,
)
from transforms.job_control.status import WorkerStatus, read_statuses
from transforms.storage import StorageError

_LARGEST_EXIT_CODE = 128
# Time between two looks at the time limits of the clips in hand.
_LOOK_S = 2.0


class WorkerPool:
    """The workers that were started and have not ended.

    Args:
        server: Connection from `start_fork_server`.
        status_folder: Folder in which workers write their status.
        job_folder: Folder of the job, for notes of deaths; if None, the folder that the
            worker's status names.
        on_death: Called in another thread with the cause, after a worker failed or was
            killed (but not by `stop`) and its death was noted.
    """

    def __init__(
        self,
        server: Connection,
        status_folder: str,
        job_folder: str | None = None,
        on_death: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._server = server
        self._status_folder = status_folder
        self._job_folder = job_folder
        self._on_death = on_death
        self._numbers = itertools.count()
        self._running: dict[int, threading.Event] = {}
        self._codes: dict[int, int] = {}
        # Deadlines that had passed at the last look, by process id.
        self._overdue: dict[int, float] = {}
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def can_start(self) -> bool:
        """Whether the fork server lives, without which no worker can be started."""
        return self._listener.is_alive()

    def load(self, models: Sequence[ModelSpec]) -> None:
        """Loads models in the background, for all workers that are started later."""
        self._send(Load(tuple(models)))

    def start(self, request: WorkerRequest) -> int:
        """Starts a worker; returns its number in this pool."""
        with self._lock:
            number = next(self._numbers)
            self._running[number] = threading.Event()
            self._send(Start(number, request))
        return number

    def wait(self, number: int, timeout_s: float | None = None) -> int | None:
        """Waits for the end of a worker; returns its exit code, None after the timeout.

        By then its death was noted.
        """
        with self._lock:
            ended = self._running.get(number)
        if ended and not ended.wait(timeout_s):
            return None
        return self._codes[number]

    def stop(self, number: int) -> None:
        """Kills a worker and waits for its end. No clip is blamed."""
        self._send(Stop(number))
        self.wait(number)

    def stop_all(self) -> None:
        """Kills every worker."""
        with self._lock:
            numbers = list(self._running)
        for number in numbers:
            self.stop(number)

    def _send(self, order: object) -> None:
        # The listener notices when the fork server is gone.
        with self._send_lock, contextlib.suppress(BrokenPipeError):
            self._server.send(order)

    def _listen(self) -> None:
        try:
            while True:
                if self._server.poll(_LOOK_S):
                    self._handle(self._server.recv())
                else:
                    self._kill_overdue()
        except (EOFError, ConnectionResetError):
            self._handle_lost_server()

    def _kill_overdue(self) -> None:
        """Kills workers whose clip is over its time limit at two looks.

        At the first look after this machine or all processes were suspended, a clip
        may be over its limit that is about to be done.
        """
        overdue = {
            pid: status.deadline_s
            for pid, status in read_statuses(self._status_folder).items()
            if status.deadline_s is not None and status.deadline_s < time.monotonic()
        }
        for pid, _ in overdue.items() & self._overdue.items():
            self._send(Kill(pid))
        self._overdue = overdue

    def _handle_lost_server(self) -> None:
        """Notes the deaths of all workers, which end with the fork server."""
        code = _LARGEST_EXIT_CODE + signal.SIGKILL
        for pid, status in read_statuses(self._status_folder).items():
            if status.clip_id is not None and not is_alive(pid):
                self._note(pid, how_it_ended(code))
        with self._lock:
            running, self._running = self._running, {}
            self._codes.update(dict.fromkeys(running, code))
        for ended in running.values():
            ended.set()
        if running:
            self._on_death("ended because the fork server was killed")

    def _handle(self, ended: Ended) -> None:
        if ended.code and not ended.was_stopped:
            problem = how_it_ended(ended.code)
            if ended.code > _LARGEST_EXIT_CODE:
                self._note(ended.pid, problem)
            self._on_death(problem)
        with self._lock:
            self._codes[ended.number] = ended.code
            self._running.pop(ended.number).set()

    def _note(self, pid: int, problem: str) -> None:
        status = read_statuses(self._status_folder).get(pid, WorkerStatus())
        # Another process may get this process id.
        (pathlib.Path(self._status_folder) / f"{pid}.json").unlink(missing_ok=True)
        job_folder = self._job_folder or status.job
        if job_folder is None:
            return
        try:
            if pid in self._overdue and status.clip_id and status.limit_s:
                note_timeout(job_folder, status.clip_id, status.limit_s, status.part)
            elif status.device_computes:
                note_death_with_two_shards(job_folder, problem)
            else:
                note_death(job_folder, status.clip_id, problem, status.part)
        except StorageError as error:
            clip = json.dumps(status.clip_id)
            print(
                f"fsdsinet-worker: cannot note that a worker died on clip {clip}: "
                f"{error}",
                file=sys.stderr,
            )


def how_it_ended(code: int) -> str:
    """The end of a worker in words.

    Args:
        code: Exit code; 128 and the number of the signal if a signal ended the worker.
    """
    if code <= _LARGEST_EXIT_CODE:
        return f"ended with exit code {code}"
    return f"ended by {signal.Signals(code - _LARGEST_EXIT_CODE).name}"


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
