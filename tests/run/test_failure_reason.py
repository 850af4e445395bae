"""The reason of a failed job is found in logs as Beam writes them."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.launch.launch import _ended_early
from pipeline.runners.failure_reason import plain_reason
from pipeline.runners.job_process import JobError

# The log of a local job, with shortened tracebacks.
_LOG = """\
INFO:apache_beam.runners.worker.data_plane:Data channel established.
WARNING:root:Resource module is not available for current platform.
ERROR:apache_beam.runners.common:{name}: {message} [while running '{step}']
Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1512, in DoFnRunner.process
  File "pyarrow/error.pxi", line 89, in pyarrow.lib.check_status
{name}: {message}
ERROR:apache_beam.runners.portability.local_job_service:Worker: severity: ERROR \
timestamp {{   seconds: 1795829584 }} message: "{name}: ..." thread: "Thread-13"
Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1512, in DoFnRunner.process
{name}: {message}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "apache_beam/runners/worker/sdk_worker.py", line 310, in _execute
    response = task()
               ^^^^^^
RuntimeError: {name}: {message} [while running '{step}']

Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "apache_beam/runners/portability/fn_api_runner/fn_runner.py", line 1029, in x
RuntimeError: Traceback (most recent call last):
  File "pyarrow/error.pxi", line 89, in pyarrow.lib.check_status
{name}: {message}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1602, in DoFnRunner._reraise_augmented
RuntimeError: {name}: {message} [while running '{step}']

"""
_STORAGE = "transforms.storage.errors.StorageError"
_COMMIT = "CommitShard/Commit"


def log_of(name: str, message: str, step: str = _COMMIT) -> str:
    return _LOG.format(name=name, message=message, step=step)


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        (
            _STORAGE,
            "/out/part-1.parquet: cannot be written: No space left on device; free "
            "space in /out and run the same command again",
            "/out/part-1.parquet: cannot be written: No space left on device; free "
            "space in /out and run the same command again",
        ),
        (
            "transforms.job_control.permit.PermitError",
            "job a was stopped; b writes there now",
            "job a was stopped; b writes there now",
        ),
        (
            "OSError",
            "[Errno 28] No space left on device",
            "OSError: [Errno 28] No space left on device (in step CommitShard/Commit)",
        ),
        (
            "RuntimeError",
            "engine: winograd differs",
            "RuntimeError: engine: winograd differs (in step CommitShard/Commit)",
        ),
        (
            "pyarrow.lib.ArrowInvalid",
            "Column 1 named: x\nexpected length 3",
            "ArrowInvalid: Column 1 named: x\nexpected length 3 (in step "
            "CommitShard/Commit)",
        ),
    ],
)
def test_reason_is_found_without_the_wrapping_of_beam(
    name: str, message: str, expected: str
) -> None:
    assert plain_reason(log_of(name, message)) == expected


def test_exception_of_a_step_wins_over_later_ones() -> None:
    later = (
        "Exception in thread beam_control_read:\nTraceback (most recent call last):\n"
        '  File "grpc/_channel.py", line 1\nValueError: the channel is closed\n'
    )
    log = log_of(_STORAGE, "/out: cannot be written: the disk is gone") + later
    assert plain_reason(log) == "/out: cannot be written: the disk is gone"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ""),
        ("\n \n", ""),
        ("there is no job\n\n", "there is no job"),
        ("Traceback (most recent call last):\nMemoryError\n", "MemoryError"),
        (
            "RuntimeError: MemoryError [while running 'RunModels/Run']\n",
            "MemoryError (in RunModels/Run)",
        ),
    ],
)
def test_other_logs_give_their_last_line_or_exception(log: str, expected: str) -> None:
    assert plain_reason(log) == expected


@pytest.mark.parametrize(
    ("reason", "overwrite", "advice"),
    [
        ("the disk is gone", False, "to continue, run the same command again"),
        (
            "the disk is gone",
            True,
            "to continue, run the same command again (without --overwrite)",
        ),
        (
            "free space and run the same command again",
            False,
            "the next run does the rest",
        ),
    ],
)
def test_advice_to_run_the_command_again_is_printed_once(
    reason: str, overwrite: bool, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Any = SimpleNamespace(
        dataset=SimpleNamespace(is_ours=lambda: False),
        config=SimpleNamespace(overwrite=overwrite),
    )
    assert _ended_early(run, JobError(reason)) == 1
    printed = capsys.readouterr().err
    assert printed == f"fsdsinet: {reason}\nwhat is done is safe; {advice}\n"
    assert printed.count("run the same command again") == 1
