"""Starts and stops a Flink cluster on this machine, to try jobs on a real cluster.

Run `make flink` first: it fetches Flink and builds Beam's job server.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

from deploy.flink.local_flink import ROOT, LocalFlink, LocalFlinkError

NOT_THERE = "no local Flink runs"


@contextlib.contextmanager
def _state_file(folder: pathlib.Path) -> Iterator[IO[str]]:
    """Opens the file with PID and address, which the cluster's process keeps locked."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "running.json", "a+", encoding="utf-8") as file:
        yield file


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _read(file: IO[str]) -> tuple[int, str]:
    file.seek(0)
    state = json.load(file)
    return state["pid"], state["address"]


def _write(file: IO[str], address: str) -> None:
    file.truncate(0)
    json.dump({"pid": os.getpid(), "address": address}, file)
    file.flush()


def run(folder: pathlib.Path, num_task_managers: int, port: int) -> None:
    """Runs the cluster in this process until it gets a signal to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _state_file(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("a local Flink runs already")
        _write(file, "")
        try:
            with LocalFlink(folder, num_task_managers, port=port) as flink:
                _write(file, flink.address)
                print(flink.address, flush=True)
                flink.wait()
        except LocalFlinkError as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(0)


def start(folder: pathlib.Path, num_task_managers: int, port: int) -> None:
    """Starts a cluster in the background and returns when all slots are free."""
    options = [
        f"--folder={folder.resolve()}",
        f"--task-managers={num_task_managers}",
        f"--port={port}",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "start.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.flink", "run", *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
        assert process.stdout
        address = process.stdout.readline().strip()
        if not address:
            process.wait()
            log.seek(0)
            sys.exit(log.read().strip())
    print(f"Flink is at {address} (web page: http://{address})")


def stop(folder: pathlib.Path) -> None:
    """Stops the cluster and returns when all its processes have ended."""
    with _state_file(folder) as file:
        if not _is_locked(file):
            sys.exit(NOT_THERE)
        os.kill(_read(file)[0], signal.SIGTERM)
        # The cluster's process releases the lock when it has ended.
        fcntl.flock(file, fcntl.LOCK_EX)
    print("stopped")


def status(folder: pathlib.Path) -> None:
    """Prints the address of the cluster and the number of free slots."""
    with _state_file(folder) as file:
        if not _is_locked(file):
            sys.exit(NOT_THERE)
        flink = LocalFlink(folder)
        flink.address = _read(file)[1]
    if not flink.address:
        sys.exit("a local Flink is starting")
    now = flink.overview()
    slots = f"{now['slots-available']} of {now['slots-total']} slots are free"
    print(f"Flink {now['flink-version']} is at {flink.address}: {slots}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.flink", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for action in (start, run, stop, status):
        command = commands.add_parser(action.__name__, help=action.__doc__)
        command.set_defaults(action=action)
        command.add_argument(
            "--folder",
            type=pathlib.Path,
            default=ROOT / "build" / "flink" / "local",
            help="folder for settings and logs; default: build/flink/local",
        )
        if action in (start, run):
            command.add_argument(
                "--task-managers",
                type=int,
                default=2,
                metavar="N",
                dest="num_task_managers",
            )
            command.add_argument(
                "--port", type=int, default=8081, help="0: any free port"
            )
    options = vars(parser.parse_args())
    options.pop("action")(**options)


if __name__ == "__main__":
    main()
