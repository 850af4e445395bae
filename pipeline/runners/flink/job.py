"""python -m pipeline.runners.flink.job: submits the main job to Flink and waits.

`runner.py` starts it as a process of its own, so that Beam's job server (a Java process
that translates the job for Flink) ends with it.
"""

import dataclasses
import logging
import os
import subprocess
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer, FlinkRunner

from pipeline.extract import ExtractJob, extract
from pipeline.runners.flink.jvm import SMALL_JVM
from pipeline.runners.job_process import COUNTERS_NAME, receive_job, write_result
from transforms.job_control.child_process import end_with_parent
from transforms.job_control.counters import our_counters

# A JVM other than OpenJDK's ignores the flags that it does not know.
_JVM = (*SMALL_JVM, "-XX:+IgnoreUnrecognizedVMOptions")


@dataclasses.dataclass(frozen=True)
class FlinkSubmission:
    """The main job and how to run it on Flink.

    Attributes:
        extract: The main job.
        options: All options for Beam, as flags.
        status_folder: Folder in which the counters are written.
    """

    extract: ExtractJob
    options: tuple[str, ...]
    status_folder: str


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    job: FlinkSubmission = receive_job()
    write_result(job.status_folder, COUNTERS_NAME, run(job))
    os._exit(0)


def run(job: FlinkSubmission) -> dict[str, int]:
    """Runs the job to its end and returns its counters."""
    options = PipelineOptions(list(job.options))
    server = FlinkJarJobServer(options)
    command, endpoint = server.subprocess_cmd_and_endpoint()
    java, *arguments = map(str, command)
    subprocess.Popen(
        [java, *_JVM, *arguments], stdout=sys.stderr, preexec_fn=end_with_parent
    )
    options.view_as(PortableOptions).job_endpoint = endpoint
    pipeline = beam.Pipeline(runner=FlinkRunner(), options=options)
    extract(pipeline, job.extract)
    result = pipeline.run()
    result.wait_until_finish()
    return our_counters(result)


if __name__ == "__main__":
    main()
