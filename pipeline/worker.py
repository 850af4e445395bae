"""python -m pipeline.worker: one Beam SDK worker process of a local run."""

import os
import signal

from pipeline.process import die_with_parent


def main() -> None:
    die_with_parent()
    # Ctrl-C is the launcher's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    # All is committed, and TensorFlow's libraries take half a second to go.
    os._exit(0)


if __name__ == "__main__":
    main()
