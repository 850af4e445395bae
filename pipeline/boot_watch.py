"""python -m pipeline.boot_watch STARTER WORKER: runs one worker, and watches it.

What `fsdsinet-worker` becomes when it knows the worker's environment. It imports
nothing large, as one of them stands beside every worker for as long as that lives.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import NoReturn

_WATCH_S = 0.5
# `transforms.progress.STATUS_FOLDER_VARIABLE`, whose import would take 150 MB.
_STATUS_FOLDER_VARIABLE = "FSDSINET_STATUS_FOLDER"


def become_watch(starter: int, worker: str, environment: dict[str, str]) -> NoReturn:
    """Replaces this program by the watch; its process stays the same.

    Args:
        starter: The process with which the worker is to end.
        worker: Its name.
        environment: The worker's.
    """
    command = [sys.executable, "-m", "pipeline.boot_watch", str(starter), worker]
    os.execve(sys.executable, command, environment)


def main() -> int:
    """Returns the worker's exit code."""
    starter = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="fsdsinet-worker-") as folder:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pipeline.worker"],
            env={**os.environ, _STATUS_FOLDER_VARIABLE: folder},
        )
        # Whoever stops us stops the worker; it dies with us if we are killed.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: _stop(worker))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while os.getppid() == starter:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = worker.wait(_WATCH_S)
                _note_death(folder, code)
                return code if code >= 0 else 128 - code
        worker.kill()
        worker.wait()
    return 1


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Ends for good; no clip is to blame for this end of the worker.

    A runner that sees a worker die tells us to end, too: then it is noted first.
    """
    if worker.poll() is None:
        worker.kill()
        sys.exit(128 + signal.SIGTERM)


def _note_death(folder: str, code: int) -> None:
    """Tells the job which clip was in hand when its worker was killed or crashed."""
    if code >= 0:
        return
    from transforms.permit import note_death
    from transforms.progress import read_statuses
    from transforms.storage import StorageError

    for status in read_statuses(folder).values():
        if status.clip_id is not None and status.job is not None:
            problem = f"ended by {signal.Signals(-code).name}"
            try:
                note_death(status.job, status.clip_id, problem)
            except StorageError as error:
                text = json.dumps(status.clip_id)
                print(f"fsdsinet-worker: {text}: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
