"""Explains in one sentence why a job failed, from errors of Flink and Beam."""

import re
from collections.abc import Iterable

_NO_PACKAGE = re.compile(r"No module named '(?:transforms|pipeline)")
_PERMIT = re.compile(r"PermitError: ([^\n]*?)(?: \[while running|\\n|\n|$)")
_POOL = re.compile(
    r"(?:ExternalEnvironmentFactory|BeamFnExternalWorkerPool)[\s\S]*?"
    r"(?:UNAVAILABLE|Connection refused)|"
    r"(?:UNAVAILABLE|Connection refused)[\s\S]*?ExternalEnvironmentFactory"
)
_POOL_ADDRESS = re.compile(r"Connection refused: ([^\s]+)")
_NO_COMMAND = re.compile(r'Cannot run program "([^"]+)"')
_NO_SLOTS = re.compile(r"NoResourceAvailableException")
_WORKER_GONE = re.compile(
    r"SDK Harness connection lost|Process died with exit code (\d+)|"
    r"call already cancelled|Stream removed|UNAVAILABLE|Connection reset"
)
_LOST = re.compile(
    r"(?:TaskManager|TaskExecutor)[^\n]*(?:no longer reachable|timed out)"
)


def is_permanent(problem: str) -> bool:
    """Whether the job would fail again after a restart."""
    return any(
        pattern.search(problem)
        for pattern in (_NO_PACKAGE, _PERMIT, _POOL, _NO_COMMAND, _NO_SLOTS)
    )


def explain(problems: Iterable[str]) -> str | None:
    """What failed and what to do, in one sentence; None for unknown problems.

    Args:
        problems: Stack traces and logs, the most telling ones first.
    """
    for problem in problems:
        found = _explain(problem)
        if found:
            return found
    return None


def _explain(problem: str) -> str | None:
    permit = _PERMIT.search(problem)
    if permit:
        return permit[1].strip()
    if _NO_PACKAGE.search(problem):
        return (
            "a worker has no fsd-sinet-beam: install the launcher's version in the "
            "Python of the workers, and start them with fsdsinet-worker (deploy/ has a "
            "container image)"
        )
    if _POOL.search(problem):
        address = _POOL_ADDRESS.search(problem)
        where = f" at {address[1]}" if address else ""
        return (
            f"no worker pool answers{where} (--environment_config): beside every "
            "TaskManager start 'fsdsinet-worker --pool --port=PORT'"
        )
    command = _NO_COMMAND.search(problem)
    if command:
        return (
            f"a TaskManager cannot start {command[1]}: install fsd-sinet-beam there "
            "under the same path, or use a worker pool (--environment_type=EXTERNAL)"
        )
    if _NO_SLOTS.search(problem):
        return (
            "the cluster has too few free slots for --workers; start more TaskManagers"
        )
    if _LOST.search(problem):
        return "a TaskManager was lost, and the cluster did not start the job again"
    if _WORKER_GONE.search(problem):
        return "a worker process was lost, and the cluster did not start the job again"
    return None
