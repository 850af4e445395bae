"""Fixture of the tests of compaction: watch_steps."""

from collections.abc import Callable, Iterator

import pytest

from tests.compaction.watched_steps import WatchSteps, watch


@pytest.fixture
def watch_steps() -> Iterator[WatchSteps]:
    """Calls a function before every step; a second call replaces the function."""
    with pytest.MonkeyPatch.context() as patch:

        def start(function: Callable[[], None]) -> None:
            patch.undo()
            watch(patch, function)

        yield start
