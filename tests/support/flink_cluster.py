"""A Flink cluster on the loopback interface, for tests."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.flink.local_flink import LocalFlink, why_missing


def require_flink() -> None:
    if reason := why_missing():
        pytest.skip(reason)


@contextlib.contextmanager
def running_flink(
    folder: pathlib.Path,
    num_task_managers: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[LocalFlink]:
    """A cluster whose slots are all free; `settings` replace settings of LocalFlink."""
    require_flink()
    with LocalFlink(folder, num_task_managers, settings=settings) as flink:
        yield flink
