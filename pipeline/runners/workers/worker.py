"""python -m pipeline.runners.workers.worker: one Beam SDK worker process."""

import os
import signal
import traceback
from typing import NoReturn

from transforms.workers.child_process import die_with_parent


def main() -> None:
    die_with_parent()
    run_worker()


def run_worker() -> NoReturn:
    """Works for the runner that the environment names, until it has no more work."""
    # Ctrl-C is the launcher's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from apache_beam.runners.worker import sdk_worker_main

    try:
        sdk_worker_main.main([])
    except BaseException:
        # The runner is gone; Beam's threads would go on with what they had in hand.
        traceback.print_exc()
        os._exit(1)
    # All is committed, and TensorFlow's libraries take half a second to go.
    os._exit(0)


if __name__ == "__main__":
    main()
