"""Errors of Flink and Beam are explained in one sentence."""

import pytest

from pipeline.runners.flink.explain import explain, is_permanent

PERMIT = (
    "java.util.concurrent.ExecutionException: RuntimeError: Error received from SDK "
    'harness\n  File "permit.py", line 1\ntransforms.permit.PermitError: a worker on '
    "x has av 1, the launcher 2: install it [while running 'AdmitShards/Admit']\n"
)
POOL = (
    "org.apache.beam.vendor.grpc.v1p69p0.io.grpc.StatusRuntimeException: UNAVAILABLE: "
    "io exception\n\tat org.apache.beam.runners.fnexecution.environment."
    "ExternalEnvironmentFactory.createEnvironment(ExternalEnvironmentFactory.java:165)"
    "\nCaused by: java.net.ConnectException: Connection refused: localhost/127.0.0.1:5"
)


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (PERMIT, "a worker on x has av 1, the launcher 2: install it"),
        (POOL, "no worker pool answers at localhost/127.0.0.1:5"),
        ("ModuleNotFoundError: No module named 'transforms'", "has no fsd-sinet-beam"),
        ('IOException: Cannot run program "/x/boot": error=2', "cannot start /x/boot"),
        ("NoResourceAvailableException: x", "too few free slots"),
    ],
)
def test_problems_that_stay_after_a_restart_are_explained(
    problem: str, sentence: str
) -> None:
    assert is_permanent(problem)
    assert sentence in str(explain(["another problem", problem]))


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        ("SDK Harness connection lost", "a worker process was lost"),
        (
            "TaskManager with id a is no longer reachable",
            "a TaskManager was lost, and the cluster did not start the job again",
        ),
    ],
)
def test_lost_processes_are_not_permanent_problems(problem: str, sentence: str) -> None:
    assert not is_permanent(problem)
    assert sentence in str(explain([problem]))


def test_unknown_problems_are_not_explained() -> None:
    assert explain(["java.lang.OutOfMemoryError"]) is None
