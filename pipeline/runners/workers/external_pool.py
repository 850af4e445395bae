"""fsdsinet-worker --pool: starts and stops workers when TaskManagers ask for them.

Beam has such a pool, with three faults: it listens to the whole network, where anybody
can have it run code; it confuses the workers of two TaskManagers, which have the same
names; and it keeps what workers print in memory.
"""

import signal
import sys
import threading
from concurrent import futures

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline.runners.workers.pool import WorkerPool
from pipeline.runners.workers.worker import WorkerRequest

_WATCH_S = 0.5
# The connection of the TaskManager, and its name for the worker.
_Key = tuple[str, str]


def serve_pool(pool: WorkerPool, port: int) -> int:
    """Serves until a signal ends this process; all workers end with it.

    Returns:
        The exit code: 1 if the fork server was killed, so that a supervisor starts the
        pool again.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = grpc.server(futures.ThreadPoolExecutor())
    port = server.add_insecure_port(f"localhost:{port}")
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
        ExternalPool(pool), server
    )
    server.start()
    print(f"fsdsinet-worker: a pool at localhost:{port}", file=sys.stderr, flush=True)
    while pool.can_start() and not stop.wait(_WATCH_S):
        pass
    server.stop(0)
    pool.stop_all()
    return 0 if stop.is_set() else 1


class ExternalPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Beam's interface to a WorkerPool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._numbers: dict[_Key, int] = {}

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a worker for a TaskManager."""
        number = self._pool.start(
            WorkerRequest(
                request.worker_id,
                request.provision_endpoint.url,
                request.control_endpoint.url,
                request.logging_endpoint.url,
            )
        )
        self._numbers[context.peer(), request.worker_id] = number
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Stops the worker that has this name with this TaskManager."""
        number = self._numbers.pop((context.peer(), request.worker_id), None)
        # A worker that was started through a lost connection ends with its runner.
        if number is not None:
            self._pool.stop(number)
        return beam_fn_api_pb2.StopWorkerResponse()
