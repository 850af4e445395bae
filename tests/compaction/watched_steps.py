"""Calls a function before every step that changes files of a dataset."""

from collections.abc import Callable
from typing import Any

import pytest

from transforms import storage

WatchSteps = Callable[[Callable[[], None]], None]
_STEPS = ("publish", "move_file", "delete_file", "delete_folder")


class Killed(BaseException):
    """Ends a command as SIGKILL does: nothing handles it."""


def watch(patch: pytest.MonkeyPatch, function: Callable[[], None]) -> None:
    """Calls a function before every step, until the patch is undone."""
    for name in _STEPS:
        patch.setattr(storage, name, _after(function, getattr(storage, name)))


def _after(
    function: Callable[[], None], step: Callable[..., Any]
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        function()
        return step(*arguments)

    return call
