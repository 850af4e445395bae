"""The options that say what counts as an event, for the commands that find events."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.cli.flags.parser import Parser, number

if TYPE_CHECKING:
    from transforms.events.settings import EventSettings


def add_event_flags(parser: Parser, about: str, has_thresholds: bool = False) -> None:
    """Adds the options, which are the fields of EventOptions.

    Args:
        parser: Parser of a command. Options that are not given set nothing.
        about: Title of the group of options in the help text.
        has_thresholds: Whether the command has an option --thresholds of its own.
    """
    group = parser.add_argument_group(about, argument_default=argparse.SUPPRESS)
    group.add_argument(
        "--label",
        action="append",
        metavar="LABEL",
        help="label whose events are wanted; repeat for several (default: all labels)",
    )
    group.add_argument(
        "--threshold",
        type=number,
        metavar="X",
        help="activation from which an event begins, 0 to 1 (default: 0.5, or with "
        "--thresholds only labels of that file)",
    )
    if not has_thresholds:
        group.add_argument(
            "--thresholds",
            metavar="FILE.csv",
            help="thresholds of labels: a CSV file with the columns label, threshold "
            "and, if wanted, low",
        )
    group.add_argument(
        "--low",
        type=number,
        metavar="X",
        help="activation below which an event ends (default: its threshold)",
    )
    group.add_argument(
        "--smooth",
        type=number,
        metavar="SECONDS",
        help="length of a median filter over the activations (default: no filter)",
    )
    group.add_argument(
        "--merge-gap",
        type=number,
        metavar="SECONDS",
        help="join events of one label that are at most this far apart (default: 0.0)",
    )
    group.add_argument(
        "--min-duration",
        type=number,
        metavar="SECONDS",
        help="drop shorter events (default: 0.0)",
    )
    group.add_argument(
        "--leaves",
        action="store_true",
        help="drop an event if one of a more special label overlaps it, such as Dog if "
        "there is Bark",
    )
    group.add_argument(
        "--bounds",
        metavar="patch|hop",
        help="time for which a patch stands: its whole second, or the half second in "
        "its middle (default: patch)",
    )


def given_event_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the options that are given, by field of EventOptions."""
    from pipeline.event_options import EventOptions

    keys = (field.name for field in dataclasses.fields(EventOptions))
    values = {key: getattr(arguments, key, None) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def event_settings(arguments: argparse.Namespace) -> "EventSettings | None":
    """Returns the settings that the options state; None if none is given.

    Raises:
        ConfigError: if an option is out of range, or a file cannot be used.
    """
    from pipeline.event_options import EventOptions

    values = given_event_options(arguments)
    return EventOptions(**values).settings() if values else None
