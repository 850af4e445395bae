"""The fork server: a process that has loaded what workers need and forks workers.

A worker that starts by itself imports Beam, loads the models and compares them with the
reference, which takes every core for seconds. A forked worker has all this at once, and
shares the memory with the other workers.

The fork server is itself forked, from a process that has no threads yet. `WorkerPool`
in that process sends orders through a pipe and receives reports of ended workers.
"""

import contextlib
import dataclasses
import gc
import importlib
import os
import selectors
import signal
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from typing import NoReturn

from pipeline.runners.workers.worker import WorkerRequest, run_worker
from transforms.engines.contract import ModelSpec
from transforms.job_control.child_process import end_with_parent

# Modules that workers import at their start, besides those that the job has imported.
_NEEDED = (
    "apache_beam.runners.worker.sdk_worker_main",
    "transforms.engines.winograd.engine",
)


@dataclasses.dataclass(frozen=True)
class Load:
    """Order: load models before the first worker is forked."""

    models: tuple[ModelSpec, ...]


@dataclasses.dataclass(frozen=True)
class Start:
    """Order: fork a worker, under a number that the pool chose."""

    number: int
    request: WorkerRequest


@dataclasses.dataclass(frozen=True)
class Stop:
    """Order: kill a worker, if it still runs."""

    number: int


@dataclasses.dataclass(frozen=True)
class Kill:
    """Order: kill the worker with this process id, if it still runs."""

    pid: int


@dataclasses.dataclass(frozen=True)
class Ended:
    """Report: a worker has ended.

    Attributes:
        number: Number from its Start.
        pid: Process id that it had.
        code: Exit code; 128 and the number of the signal if a signal ended it.
        was_stopped: Whether a Stop ended it.
    """

    number: int
    pid: int
    code: int
    was_stopped: bool


def start_fork_server() -> Connection:
    """Forks the fork server from this process, which must not have threads.

    Returns:
        This process's end of the pipe. The fork server ends when it is closed.
    """
    ours, theirs = Pipe()
    parent = os.getpid()
    if os.fork():
        theirs.close()
        return ours
    with _ended_with(parent):
        ours.close()
        _prepare()
        _ForkServer(theirs).serve()


@contextlib.contextmanager
def _ended_with(parent: int) -> Iterator[None]:
    """Context of a forked process, which ends with its parent or with the block."""
    try:
        end_with_parent()
        if os.getppid() == parent:
            yield
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _prepare() -> None:
    # The standard input of the parent belongs to the parent alone.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in _NEEDED:
        # numba may not be installed. The reference engine then runs the models.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _load(models: tuple[ModelSpec, ...]) -> None:
    from transforms.inference import preload

    # Ignore load errors here; the workers load again and report them.
    with contextlib.suppress(Exception):
        preload(models)


class _ForkServer:
    """Carries out orders and reports how workers end. Uses one thread."""

    def __init__(self, pool: Connection) -> None:
        self._pool = pool
        self._numbers: dict[int, int] = {}
        self._stopped: set[int] = set()

    def serve(self) -> NoReturn:
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        selector = selectors.DefaultSelector()
        selector.register(self._pool, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._pool:
                    self._carry_out_order()
                else:
                    os.read(woken, 1024)
            self._report_ended()

    def _carry_out_order(self) -> None:
        try:
            order = self._pool.recv()
        except EOFError:
            for pid in self._numbers:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        match order:
            case Load(models):
                _load(models)
            case Start(number, request):
                self._numbers[self._fork_worker(request)] = number
            case Stop(number):
                # A worker that ended by itself was not stopped.
                self._report_ended()
                for pid in [p for p, n in self._numbers.items() if n == number]:
                    self._stopped.add(number)
                    os.kill(pid, signal.SIGKILL)
            case Kill(pid) if pid in self._numbers:
                # The id belongs to no other process: the worker was not waited for.
                os.kill(pid, signal.SIGKILL)

    def _fork_worker(self, request: WorkerRequest) -> int:
        # Freeze existing objects so that garbage collection does not touch them:
        # touching would copy their memory pages into every forked worker.
        gc.collect()
        gc.freeze()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        with _ended_with(parent):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._pool.close()
            run_worker(request)
        raise AssertionError("a worker never returns")

    def _report_ended(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                code = os.waitstatus_to_exitcode(status)
                number = self._numbers.pop(pid)
                code = code if code >= 0 else 128 - code
                self._pool.send(Ended(number, pid, code, number in self._stopped))
