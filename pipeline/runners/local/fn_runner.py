"""Beam's FnApiRunner with worker processes from a WorkerPool."""

from typing import ClassVar

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipeline.runners.workers.pool import WorkerPool
from pipeline.runners.workers.worker import WorkerRequest


def runner_with_pool(
    options: PipelineOptions, pool: WorkerPool
) -> fn_runner.FnApiRunner:
    """Beam's FnApiRunner with worker processes from a WorkerPool.

    This is not DirectRunner, which switches to a runner with one process when it can.
    The options go to the workers through the provision service.
    """
    _WorkerHandler.pool = pool
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(
        default_environment=SubprocessSDKEnvironment.from_command_string(""),
        provision_info=fn_runner.ExtendedProvisionInfo(provision),
    )


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class _WorkerHandler(worker_handlers.SubprocessSdkWorkerHandler):
    """Starts a worker for FnApiRunner. Replaces Beam's, which runs a shell command."""

    pool: ClassVar[WorkerPool]

    def start_worker(self) -> None:
        self.pool.start(
            WorkerRequest(
                self.worker_id,
                self.control_address,
                self.control_address,
                self.logging_api_service_descriptor().url,
            )
        )

    def stop_worker(self) -> None:
        """Does nothing: the worker ends when the runner closes its connection."""
