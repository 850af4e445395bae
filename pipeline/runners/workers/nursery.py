"""The nursery: a process that has loaded what workers need, and forks one when asked.

A worker that starts by itself imports Beam, loads the models and compares them with the
reference, which takes seconds of every core. One that is forked has all of it at once,
and shares the memory with the others.

The nursery itself is forked from the job process, while that has no threads of Python
yet. Beam starts a worker by a command: ours (`ask_nursery.py`) asks for one through a
socket, and ends when the worker does.
"""

import contextlib
import gc
import importlib
import json
import os
import pathlib
import pickle
import selectors
import shlex
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NoReturn

from pipeline.runners.workers import ask_nursery
from pipeline.runners.workers.worker import run_worker
from transforms.engines.contract import ModelSpec
from transforms.workers.child_process import end_with_parent

# What workers import when they begin, beside the job's own modules.
_NEEDED = (
    "apache_beam.runners.worker.sdk_worker_main",
    "transforms.engines.winograd.engine",
)
# Of the path of a socket, in bytes.
_LONGEST_PATH = 100


class Nursery:
    """The job's hold on its nursery."""

    def __init__(self, path: str, orders: BinaryIO) -> None:
        self._path = path
        self._orders = orders

    @property
    def command(self) -> str:
        """For the shell: starts a worker, and ends as it does."""
        # Python alone, without site-packages: that takes 10 ms.
        words = [sys.executable, "-I", "-S", ask_nursery.__file__, self._path]
        return f"exec {shlex.join(words)}"

    def load(self, models: Sequence[ModelSpec]) -> None:
        """Has the models loaded, in the background. Once, or no worker comes."""
        with self._orders:
            pickle.dump(tuple(models), self._orders)


def start_nursery(folder: str) -> Nursery | None:
    """Forks the nursery from this process, which may have no threads of its own.

    Args:
        folder: Of this user alone: whoever can connect to a socket there has workers
            started.

    Returns:
        None where there can be none: workers have to start by themselves.
    """
    path = str(pathlib.Path(folder) / "nursery")
    if sys.platform != "linux" or len(os.fsencode(path)) > _LONGEST_PATH:
        return None
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    read_end, write_end = os.pipe()
    parent = os.getpid()
    if os.fork():
        listener.close()
        os.close(read_end)
        return Nursery(path, os.fdopen(write_end, "wb"))
    os.close(write_end)
    with _ended_with(parent):
        _load(os.fdopen(read_end, "rb"))
        _serve(listener)


@contextlib.contextmanager
def _ended_with(parent: int) -> Iterator[None]:
    """In a forked process: it ends with its parent, and never goes back to its code."""
    try:
        end_with_parent()
        if os.getppid() == parent:
            yield
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _load(orders: BinaryIO) -> None:
    # The launcher's end of it is for the job alone.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in _NEEDED:
        # Without numba the reference runs the models.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from transforms.inference import preload

    with orders:
        models = pickle.load(orders)
    # What is wrong with a model, workers say: they are asked.
    with contextlib.suppress(Exception):
        preload(models)
    # What is there is not looked at again, or it would be copied for every worker.
    gc.collect()
    gc.freeze()


def _serve(listener: socket.socket) -> NoReturn:
    """Forks a worker for every connection, and tells it how the worker ended."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    asking: dict[int, socket.socket] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                environment = json.loads(ask_nursery.read_all(connection))
                sockets = (listener, connection, *asking.values())
                asking[_fork_worker(environment, sockets)] = connection
            else:
                os.read(woken, 1024)
        for pid, code in _ended_children():
            with asking.pop(pid) as connection, contextlib.suppress(OSError):
                connection.sendall(str(code).encode("ascii"))


def _fork_worker(
    environment: Mapping[str, str], sockets: Sequence[socket.socket]
) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    with _ended_with(parent):
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in sockets:
            # Who asked for another worker would wait for our end, too.
            each.close()
        os.environ.clear()
        os.environ.update(environment)
        run_worker()
    raise AssertionError("a worker never returns")


def _ended_children() -> list[tuple[int, int]]:
    """Process ids and exit codes, 128 and the number of the signal if there was one."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            code = os.waitstatus_to_exitcode(status)
            ended.append((pid, code if code >= 0 else 128 - code))
    return ended
