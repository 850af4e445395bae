"""Checks Beam's job server and the Flink cluster before a job is sent."""

import os
import re
import shutil
import zipfile

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
)

from pipeline.console import say
from pipeline.errors import ConfigError
from pipeline.runners.flink.rest import FlinkCluster, FlinkError

_RUNNER_IN_JAR = re.compile(
    r"META-INF/maven/org\.apache\.beam/beam-runners-flink-([\d.]+)/pom\.properties"
)
_RUNNER_IN_NAME = re.compile(r"beam-runners-flink-(\d+\.\d+)")


def check_job_server(options: PipelineOptions) -> None:
    """Raises ConfigError unless Beam's job server can be started."""
    java = options.view_as(JobServerOptions).job_server_java_launcher
    if shutil.which(java) is None:
        raise ConfigError(
            f"no program {java!r} found: Beam's job server for Flink needs Java 11 "
            "or 17 on the PATH (or -- --job_server_java_launcher=JAVA)"
        )
    jar = options.view_as(FlinkRunnerOptions).flink_job_server_jar
    if jar and "://" not in jar and not os.path.isfile(jar):
        raise ConfigError(
            f"no job server at {jar} (--flink_job_server_jar); 'make flink' builds "
            "one, or leave the flag out for Beam to download its own"
        )


def check_cluster(
    cluster: FlinkCluster, options: PipelineOptions, num_workers: int | None
) -> int:
    """Checks that a cluster can run a job with the requested number of workers.

    Args:
        cluster: Cluster that the user named.
        options: Options for Beam.
        num_workers: Requested number of workers; None for one in every free slot.

    Returns:
        The number of workers.

    Raises:
        ConfigError: if the cluster does not answer, has another version than the job
            server, or has too few free slots.
    """
    if "[" in cluster.url:
        raise ConfigError(
            "no cluster is named: give -- --flink_master=HOST:PORT, the address of its "
            "REST interface (without a cluster, --runner local uses all cores)"
        )
    try:
        _check_version(cluster.version(), options)
        slots = cluster.slots_of_task_managers()
        free = cluster.free_slots()
        _warn(cluster, options, slots)
    except FlinkError as error:
        raise ConfigError(
            f"{error}; check --flink_master, and that the cluster runs"
        ) from error
    wanted = num_workers or max(free, 1)
    if free < wanted:
        raise ConfigError(
            f"{wanted} workers need {wanted} free slots, but {cluster.url} has {free} "
            f"of {sum(slots)} ({len(slots)} TaskManagers): wait for other jobs, start "
            "more TaskManagers, or give fewer --workers"
        )
    return wanted


def _check_version(cluster: str, options: PipelineOptions) -> None:
    flink = options.view_as(FlinkRunnerOptions)
    jar = flink.flink_job_server_jar
    expected = flink_version_of(jar) if jar else flink.flink_version
    if expected and not cluster.startswith(f"{expected}."):
        remedy = (
            f"give a --flink_job_server_jar that is built for Flink {cluster}"
            if jar
            else "give --flink_version, and a cluster of a version that Beam supports"
        )
        raise ConfigError(
            f"the cluster runs Flink {cluster}, but the job server is for {expected}: "
            f"{remedy}"
        )


def flink_version_of(jar: str) -> str | None:
    """The Flink version of a job server, as MAJOR.MINOR; None if unknown."""
    named = _RUNNER_IN_NAME.search(os.path.basename(jar))
    if named or not os.path.isfile(jar):
        return named and named[1]
    try:
        with zipfile.ZipFile(jar) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{jar} is not a jar file: {error}") from error
    found = [match[1] for match in map(_RUNNER_IN_JAR.fullmatch, names) if match]
    if not found:
        raise ConfigError(
            f"{jar} contains no Beam runner for Flink; 'make flink' builds one"
        )
    return found[0]


def _warn(cluster: FlinkCluster, options: PipelineOptions, slots: list[int]) -> None:
    """Prints notes on settings with which jobs run slower or end early."""
    shared = max(slots, default=1)
    if shared > 1 and options.view_as(PortableOptions).sdk_worker_parallelism < shared:
        say(
            f"note: a TaskManager has {shared} slots, and Beam may run one worker "
            "process for all of them: a process computes on one core; set "
            "taskmanager.numberOfTaskSlots to 1 and start more TaskManagers"
        )
    if cluster.setting("restart-strategy.type") in (None, "none", "off", "disable"):
        say(
            "note: the cluster has no restart-strategy: if a worker or a machine is "
            "lost, the job ends, and you continue it with the same command"
        )
