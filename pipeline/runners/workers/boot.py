"""fsdsinet-worker: starts Beam SDK workers on a machine of a cluster.

    fsdsinet-worker --id=... --provision_endpoint=... ...   one worker
    fsdsinet-worker --pool --port=50000                     a pool that starts workers

The first is what Beam's SDK container contract calls boot: runners start it, where the
environment is a PROCESS, and so does the pool, for an EXTERNAL environment. It asks the
runner for the pipeline's options, which Beam's own pool does not, and stays to watch
the worker: it ends with whoever started it, and a clip that takes workers down is
noted, so that it is given up after the second time. It installs nothing: the worker
runs in the Python that this program is installed in.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from transforms.essentia_import import TENSORFLOW_ENVIRONMENT
from transforms.models.cache import keep_compiled_code
from transforms.workers.child_process import child_environment, wait_for_end
from transforms.workers.status import STATUS_FOLDER_VARIABLE, read_statuses

ENDPOINTS = ("logging", "artifact", "provision", "control")
_ANSWER_TIMEOUT_S = 30.0
_WATCH_S = 0.5
_DEFAULT_PORT = 50000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one worker, or a pool, until it ends."""
    # What a worker says goes to the runner; nobody may read our standard output.
    os.dup2(2, 1)
    parsed = _parser().parse_args(argv)
    if parsed.pool:
        from pipeline.runners.workers.pool import run_pool

        return run_pool(parsed.port)
    if not parsed.id or not parsed.provision_endpoint:
        _parser().error("expected --pool, or --id and --provision_endpoint of a runner")
    try:
        environment = _worker_environment(parsed)
    except ValueError as error:
        print(f"fsdsinet-worker: {error}", file=sys.stderr)
        return 1
    return _run_worker(environment)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fsdsinet-worker", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pool", action="store_true", help="start workers when asked")
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, help="of the pool")
    # Prism puts quotes around the name.
    parser.add_argument("--id", type=lambda text: text.strip("'"), help="of the worker")
    for name in ENDPOINTS:
        parser.add_argument(f"--{name}_endpoint", metavar="HOST:PORT")
    return parser


def boot_path() -> str:
    """This program as a file that can be started."""
    return str(pathlib.Path(sys.executable).with_name("fsdsinet-worker"))


def _worker_environment(parsed: argparse.Namespace) -> dict[str, str]:
    """The environment that Beam's worker takes its orders from.

    Raises:
        ValueError: if the runner does not answer, or wants packages to be installed.
    """
    import grpc
    from apache_beam.portability.api import (
        beam_provision_api_pb2,
        beam_provision_api_pb2_grpc,
        endpoints_pb2,
    )
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(parsed.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        try:
            info = service.GetProvisionInfo(
                request,
                metadata=[("worker_id", parsed.id)],
                timeout=_ANSWER_TIMEOUT_S,
                wait_for_ready=True,
            ).info
        except grpc.RpcError as error:
            raise ValueError(
                f"no answer from the runner at {parsed.provision_endpoint}: {error}"
            ) from error

    def descriptor(name: str) -> str:
        given = getattr(parsed, f"{name}_endpoint")
        url = given or getattr(info, f"{name}_endpoint").url
        return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))

    keep_compiled_code()
    return {
        **child_environment(),
        **TENSORFLOW_ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        "WORKER_ID": parsed.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": descriptor("control"),
        "LOGGING_API_SERVICE_DESCRIPTOR": descriptor("logging"),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def _run_worker(environment: dict[str, str]) -> int:
    """Runs `pipeline.runners.workers.worker` and watches it; returns its exit code."""
    starter = os.getppid()
    with tempfile.TemporaryDirectory(prefix="fsdsinet-worker-") as folder:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pipeline.runners.workers.worker"],
            env={**environment, STATUS_FOLDER_VARIABLE: folder},
        )
        # Whoever stops us stops the worker; it dies with us if we are killed.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: _stop(worker))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while os.getppid() == starter:
            if (code := wait_for_end(worker, _WATCH_S)) is not None:
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
    from transforms.storage import StorageError
    from transforms.workers.permit import note_death

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
