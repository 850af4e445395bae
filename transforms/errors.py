"""Errors whose message tells the user what to change, and parts of such messages."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user gave cannot be used.

    The message says what was found, what was expected and what to do.
    """


class ModelError(UserError):
    """A model is missing, is not an FSD-SINet, or does not fit its metadata."""


class EngineError(UserError):
    """No engine that is installed can run a model."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the question whether the nearest known name was meant.

    Args:
        name: Name that is not known: an option, a command, a key or a value.
        known: Known names of the same kind.

    Returns:
        "did you mean NAME?"; empty if no known name is near.
    """
    # Dashes are not compared, or all short options would be near each other.
    by_letters = {other.lstrip("-"): other for other in known}
    near = difflib.get_close_matches(name.lstrip("-"), by_letters, n=1)
    return f"did you mean {by_letters[near[0]]}?" if near else ""


def unknown_value(what: str, value: str, known: Iterable[str]) -> str:
    """The message that a value is not one of the known ones."""
    names = tuple(known)
    hint = did_you_mean(value, names)
    message = f"{what} is {value!r}, expected one of: {', '.join(names)}"
    return f"{message}; {hint}" if hint else message
