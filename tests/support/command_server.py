"""Runs `fsdsinet` in children that are forked after its slow imports.

Python takes seconds to import what most commands need, and few tests are about that.
Tests of the process itself start it by `command_line`.
"""

import gc
import importlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

# What commands import. The threads of these libraries, which are those of OpenBLAS and
# of Arrow's jemalloc, are made for forks.
_NEEDED = ("pipeline.launch.launch", "pipeline.launch.compact", "pipeline.cli.main")
_TIMEOUT_S = 200.0
_NUMBER_BYTES = 8


class CommandServer:
    """Runs command lines in children of a process, one at a time.

    Every child has a copy of all modules, and the environment that this process has
    when the command starts. So no command changes another one.
    """

    def __init__(self, root: pathlib.Path) -> None:
        """Starts nothing yet.

        Args:
            root: Folder from which the modules are imported.
        """
        self._root = root
        # Commands have the environment of their start; this is that of the process.
        self._environment = {**os.environ, "PYTHONPATH": str(root)}
        self._folder = tempfile.TemporaryDirectory(prefix="command-server-")
        self._outputs = [f"{self._folder.name}/{name}" for name in ("out", "err")]
        self._process: subprocess.Popen[bytes] | None = None
        self._is_busy = False

    def start(self, arguments: Sequence[str], cwd: pathlib.Path) -> int:
        """Starts `fsdsinet ARGUMENTS...` and returns the process id of the child."""
        if self._is_busy:
            # A test failed before it waited for its command.
            self._end_process()
        if not self._process:
            self._process = self._start_process()
        self._is_busy = True
        environment = {**os.environ, "PYTHONPATH": str(self._root)}
        request = [[*arguments], str(cwd), environment, self._outputs]
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._read_number()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Waits for the end of the command; its code is negative if a signal ended it.

        Raises:
            TimeoutError: if the command has not ended after 200 s; it is killed.
        """
        code = self._read_number()
        self._is_busy = False
        out, err = (pathlib.Path(path).read_text() for path in self._outputs)
        return subprocess.CompletedProcess(["fsdsinet"], code, out, err)

    def close(self) -> None:
        """Kills the process, and a command that still runs."""
        self._end_process()
        self._folder.cleanup()

    def _start_process(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._root,
            env=self._environment,
            start_new_session=True,
        )

    def _end_process(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._process, self._is_busy = None, False

    def _read_number(self) -> int:
        assert self._process and self._process.stdout
        if not select.select([self._process.stdout], [], [], _TIMEOUT_S)[0]:
            self._end_process()
            raise TimeoutError(f"a command takes more than {_TIMEOUT_S:.0f} s")
        data = os.read(self._process.stdout.fileno(), _NUMBER_BYTES)
        assert data, "the process that runs the commands has ended"
        return int.from_bytes(data, "little", signed=True)


def _serve() -> int:
    """Forks a child for every line; in it, returns the exit code of its command."""
    for name in _NEEDED:
        importlib.import_module(name)
    # A collection in a child would touch every object, and copy the memory of all.
    gc.collect()
    gc.freeze()
    answers = os.dup(1)
    # Nothing is read ahead, which a child would have as well.
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    while line := requests.readline():
        pid = os.fork()
        if not pid:
            os.close(answers)
            requests.close()
            return _run(*json.loads(line))
        _write_number(answers, pid)
        _write_number(answers, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return 0


def _write_number(file: int, number: int) -> None:
    os.write(file, number.to_bytes(_NUMBER_BYTES, "little", signed=True))


def _run(
    arguments: list[str], cwd: str, environment: dict[str, str], outputs: list[str]
) -> int:
    main: Any = importlib.import_module("pipeline.cli.main").main
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # An import has asked for the folder already.
    tempfile.tempdir = None
    files = [os.open(os.devnull, os.O_RDONLY)]
    files += [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in outputs]
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    return int(main(arguments))


if __name__ == "__main__":
    sys.exit(_serve())
