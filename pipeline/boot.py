"""fsdsinet-worker: starts Beam SDK workers on a machine of a cluster.

    fsdsinet-worker --id=... --provision_endpoint=... ...   one worker
    fsdsinet-worker --pool --port=50000                     a pool that starts workers

The first is what Beam's SDK container contract calls boot: runners start it, where the
environment is a PROCESS, and so does the pool, for an EXTERNAL environment. It asks the
runner for the pipeline's options, which Beam's own pool does not, and stays to watch
the worker (`pipeline.boot_watch`): it ends with whoever started it, and a clip that
takes workers down is noted, so that it is given up after the second time. It installs
nothing: the worker runs in the Python that this program is installed in.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from pipeline.boot_watch import become_watch
from pipeline.cache import cache_folder
from pipeline.process import child_environment
from transforms.essentia_import import TENSORFLOW_ENVIRONMENT

ENDPOINTS = ("logging", "artifact", "provision", "control")
_ANSWER_TIMEOUT_S = 30.0
_DEFAULT_PORT = 50000
NUMBA_CACHE_VARIABLE, NUMBA_FOLDER = "NUMBA_CACHE_DIR", "compiled"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one worker, or a pool, until it ends."""
    starter = os.getppid()
    # What a worker says goes to the runner; nobody may read our standard output.
    os.dup2(2, 1)
    parsed = _parser().parse_args(argv)
    if parsed.pool:
        from pipeline.worker_pool import run_pool

        return run_pool(parsed.port)
    if not parsed.id or not parsed.provision_endpoint:
        _parser().error("expected --pool, or --id and --provision_endpoint of a runner")
    try:
        environment = _worker_environment(parsed)
    except ValueError as error:
        print(f"fsdsinet-worker: {error}", file=sys.stderr)
        return 1
    become_watch(starter, parsed.id, environment)


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

    return {
        **child_environment(),
        **TENSORFLOW_ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        NUMBA_CACHE_VARIABLE: os.environ.get(NUMBA_CACHE_VARIABLE)
        or str(cache_folder(NUMBA_FOLDER)),
        "WORKER_ID": parsed.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": descriptor("control"),
        "LOGGING_API_SERVICE_DESCRIPTOR": descriptor("logging"),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


if __name__ == "__main__":
    sys.exit(main())
