"""fsdsinet-worker --pool: starts and stops workers when TaskManagers ask for it.

Beam has a pool like this. It listens to the whole network, where anyone can have it run
code; it knows workers by the name that a TaskManager gave them, and the workers of two
TaskManagers have one name; and what workers say is held until it has no more room.
"""

import signal
import subprocess
import sys
import threading
from concurrent import futures

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from transforms.workers.child_process import wait_for_end

_STOP_S = 10.0
# Who asked, by its connection, and what it calls the worker.
_Key = tuple[str, str]


def run_pool(port: int) -> int:
    """Serves until a signal ends it; its workers end with it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pool = WorkerPool()
    server = grpc.server(futures.ThreadPoolExecutor())
    port = server.add_insecure_port(f"localhost:{port}")
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.start()
    print(f"fsdsinet-worker: a pool at localhost:{port}", file=sys.stderr, flush=True)
    stop.wait()
    server.stop(0)
    pool.stop_all()
    return 0


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """The workers that were started and not stopped yet."""

    def __init__(self) -> None:
        self._workers: dict[_Key, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts `fsdsinet-worker` for a TaskManager."""
        command = [
            *(
                sys.executable,
                "-m",
                "pipeline.runners.workers.boot",
                f"--id={request.worker_id}",
            ),
            f"--logging_endpoint={request.logging_endpoint.url}",
            f"--artifact_endpoint={request.artifact_endpoint.url}",
            f"--provision_endpoint={request.provision_endpoint.url}",
            f"--control_endpoint={request.control_endpoint.url}",
        ]
        with self._lock:
            # Those that ended by themselves are collected, too.
            running = {k: w for k, w in self._workers.items() if w.poll() is None}
            worker = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            self._workers = {**running, (context.peer(), request.worker_id): worker}
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Stops the worker that has this name with this TaskManager."""
        with self._lock:
            worker = self._workers.pop((context.peer(), request.worker_id), None)
        # One that was asked for through a connection that is gone ends with its runner.
        if worker:
            _stop(worker)
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop_all(self) -> None:
        """Stops every worker."""
        with self._lock:
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.terminate()
        for worker in workers:
            _stop(worker)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    if wait_for_end(worker, _STOP_S) is None:
        worker.kill()
        worker.wait()
