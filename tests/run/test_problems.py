"""What a user reads of a job that failed, from logs as Beam writes them."""

import errno

import pytest

from pipeline.errors import ConfigError
from pipeline.runners.problems import plain_error, plain_reason

# As a local job leaves it; the tracebacks are shortened.
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
            "OSError",
            "[Errno 28] No space left on device",
            "the output cannot be written: no space left on device; free space on the "
            "disk",
        ),
        (
            _STORAGE,
            "/out/ledger/part-1.parquet: cannot be written: [Errno 30] Read-only file "
            "system: '/out/ledger/.part-1.parquet.1419c012.tmp'",
            "/out/ledger/part-1.parquet: cannot be written: read-only file system; the "
            "disk became read-only: mount it writable",
        ),
        (
            _STORAGE,
            "/out/ledger/part-1.parquet: cannot be written: [Errno 13] Permission "
            "denied: '/out/ledger/.part-1.parquet.0881031e.tmp'",
            "/out/ledger/part-1.parquet: cannot be written: permission denied; check "
            "the permissions of the folder",
        ),
        (
            _STORAGE,
            "/out/ledger/part-1.parquet: cannot be written: [Errno 20] Not a "
            "directory: '/out/ledger'",
            "/out/ledger/part-1.parquet: cannot be written: not a directory; check "
            "that no file took the place of a folder during the run",
        ),
        (
            "FileNotFoundError",
            "[Errno 2] No such file or directory: '/tmp/fsdsinet-x/shards-taken'",
            "/tmp/fsdsinet-x/shards-taken: no such file or directory; check that "
            "nothing was removed or renamed during the run",
        ),
        (
            _STORAGE,
            "/in/plan.arrow: [Errno 13] Permission denied: '/in/plan.arrow'; check the "
            "name and permissions",
            "/in/plan.arrow: permission denied; check the permissions of the folder",
        ),
        (
            _STORAGE,
            "s3://b/part-1.parquet: cannot be written: AccessDenied; check your keys",
            "s3://b/part-1.parquet: cannot be written: AccessDenied; check your keys",
        ),
        (
            "transforms.workers.permit.PermitError",
            "job a was stopped; b writes there now",
            "job a was stopped; b writes there now",
        ),
        (
            "ValueError",
            "shapes (3,) and (4,) differ",
            "ValueError: shapes (3,) and (4,) differ (in step CommitShard/Commit)",
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
def test_reason_is_said_without_the_wrapping_of_beam(
    name: str, message: str, expected: str
) -> None:
    assert plain_reason(log_of(name, message)) == expected


def test_full_temporary_folder_names_the_step() -> None:
    log = log_of("OSError", "[Errno 28] No space left on device", "ReadManifest/Take")
    assert plain_reason(log) == (
        "no space left on device (in step ReadManifest/Take); free space on the disk"
    )


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
            "Traceback (most recent call last):\nOSError: [Errno 28] No space left on "
            "device\n",
            "no space left on device; free space on the disk",
        ),
        (
            "INFO:root:start\nTraceback (most recent call last):\n"
            "ValueError: Invalid value --flag\nWARNING:root:closing\n",
            "ValueError: Invalid value --flag",
        ),
    ],
)
def test_log_without_a_step_gives_its_last_words(log: str, expected: str) -> None:
    assert plain_reason(log) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/out/run.json"),
            "/out/run.json: permission denied; check the permissions of the folder",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "no space left on device; free space on the disk",
        ),
        (OSError("no magic bytes in footer"), "no magic bytes in footer"),
        (ConfigError("runner is 'x'; give another"), "runner is 'x'; give another"),
    ],
)
def test_error_of_the_system_is_said_in_the_same_words(
    error: Exception, expected: str
) -> None:
    assert plain_error(error) == expected
