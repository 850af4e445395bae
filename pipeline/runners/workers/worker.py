"""Runs a Beam SDK worker in this process, as a runner requested it."""

import contextlib
import io
import os
import signal
import sys
import traceback
from typing import NamedTuple, NoReturn

_ANSWER_TIMEOUT_S = 30.0


class WorkerRequest(NamedTuple):
    """A runner's request for a worker: Beam's container contract.

    Attributes:
        worker_id: Name by which the runner knows the worker.
        provision: Address (HOST:PORT) of the service that has the pipeline's options.
        control: Address of the service that gives work; if empty, the provision service
            knows it.
        logging: Address of the service that takes log messages; if empty, likewise.
    """

    worker_id: str
    provision: str
    control: str = ""
    logging: str = ""


def run_worker(request: WorkerRequest) -> NoReturn:
    """Works for a runner until it has no more work, and ends the process."""
    # The launcher handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = _Stderr()
    from apache_beam.runners.worker import sdk_worker_main

    try:
        os.environ.update(_worker_environment(request))
        sdk_worker_main.main([])
    except BaseException:
        # The runner is gone. Beam's threads would continue with the shard in hand.
        traceback.print_exc()
        os._exit(1)
    # Everything is committed, and unloading TensorFlow takes half a second.
    os._exit(0)


class _Stderr(io.TextIOBase):
    """Standard error that ignores a full disk.

    Beam prints the traceback of a step that failed before it answers the runner. If
    that failed, the runner would wait forever.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))
        return len(text)


def _worker_environment(request: WorkerRequest) -> dict[str, str]:
    """The environment variables from which Beam's worker reads its settings.

    Raises:
        TimeoutError: if the runner does not answer.
    """
    import grpc
    from apache_beam.portability.api import (
        beam_provision_api_pb2,
        beam_provision_api_pb2_grpc,
        endpoints_pb2,
    )
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(request.provision) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        try:
            info = service.GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                metadata=[("worker_id", request.worker_id)],
                timeout=_ANSWER_TIMEOUT_S,
                wait_for_ready=True,
            ).info
        except grpc.RpcError as error:
            raise TimeoutError(
                f"no answer from the runner at {request.provision}: {error}"
            ) from error

    def descriptor(name: str) -> str:
        url = getattr(request, name) or getattr(info, f"{name}_endpoint").url
        return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))

    return {
        "WORKER_ID": request.worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": descriptor("control"),
        "LOGGING_API_SERVICE_DESCRIPTOR": descriptor("logging"),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
