"""fsdsinet events: finds events in a dataset and writes them."""

import argparse
from typing import TYPE_CHECKING

from pipeline.cli.parser import (
    Commands,
    Parser,
    add_command,
    add_dataset,
    add_model,
    number,
    whole_number,
)

if TYPE_CHECKING:
    from pipeline.results.events.read_events import DatasetEvents
    from transforms.events.settings import EventSettings


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "events",
        run,
        "find events: which sound, from when to when",
        "Finds events in the activations of a dataset, without running the models "
        "again: an event of a label lasts as long as its activations stay above a "
        "threshold. Writes a table, a selection table of Raven, labels of Audacity or "
        "JSON.",
    )
    add_dataset(parser)
    add_model(parser)
    _add_output(parser)
    _add_settings(parser)
    _add_cut(parser)


def _add_output(parser: Parser) -> None:
    parser.add_argument(
        "--output",
        metavar="FILE|FOLDER/",
        help="file to write; for raven and audacity, a folder gets a file for every "
        "recording",
    )
    parser.add_argument(
        "--format",
        choices=("parquet", "csv", "raven", "audacity", "json"),
        help="format (default: by the extension .parquet, .csv, .json or "
        ".selections.txt)",
    )


def _add_settings(parser: Parser) -> None:
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="LABEL",
        help="label whose events are wanted; repeat for several (default: all)",
    )
    parser.add_argument(
        "--threshold",
        type=number,
        metavar="X",
        help="activation from which an event begins, 0 to 1 (default: 0.5, or with "
        "--thresholds only labels of that file)",
    )
    parser.add_argument(
        "--thresholds",
        metavar="FILE.csv",
        help="thresholds of labels: a CSV file with the columns label, threshold and, "
        "if wanted, low",
    )
    parser.add_argument(
        "--low",
        type=number,
        metavar="X",
        help="activation below which an event ends (default: its threshold)",
    )
    parser.add_argument(
        "--smooth",
        type=number,
        default=0.0,
        metavar="SECONDS",
        help="length of a median filter over the activations (default: no filter)",
    )
    parser.add_argument(
        "--merge-gap",
        type=number,
        default=0.0,
        metavar="SECONDS",
        help="join events of one label that are at most this far apart (default: 0)",
    )
    parser.add_argument(
        "--min-duration",
        type=number,
        default=0.0,
        metavar="SECONDS",
        help="drop shorter events (default: 0)",
    )
    parser.add_argument(
        "--leaves",
        action="store_true",
        help="drop an event if one of a more special label overlaps it, such as Dog if "
        "there is Bark",
    )
    parser.add_argument(
        "--bounds",
        choices=("patch", "hop"),
        default="patch",
        help="time for which a patch stands: its whole second, or the half second in "
        "its middle (default: %(default)s)",
    )


def _add_cut(parser: Parser) -> None:
    parser.add_argument(
        "--cut",
        metavar="FOLDER",
        help="write the most certain events of each label as WAV files, to listen to",
    )
    parser.add_argument(
        "--top",
        type=whole_number,
        default=10,
        metavar="N",
        help="number of events of each label for --cut (default: %(default)s)",
    )
    parser.add_argument(
        "--padding",
        type=number,
        default=0.5,
        metavar="SECONDS",
        help="audio before and after an event for --cut (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.errors import ConfigError
    from pipeline.results.events.event_files import check_path, write_events
    from pipeline.results.events.read_events import read_events
    from pipeline.results.events.summary import summary_lines

    if not arguments.output and not arguments.cut:
        raise ConfigError("nothing to write; give --output FILE or --cut FOLDER")
    if arguments.output:
        check_path(arguments.output, arguments.format)
    settings = _settings(arguments)
    events = read_events(Snapshot(arguments.dataset, arguments.model), settings)
    print("\n".join(summary_lines(events)))
    if arguments.output:
        files = write_events(events, arguments.output, arguments.format)
        print(f"written to {files[0] if len(files) == 1 else arguments.output}")
    return _cut(events, arguments) if arguments.cut else 0


def _settings(arguments: argparse.Namespace) -> "EventSettings":
    from pipeline.errors import ConfigError
    from transforms.events.settings import EventSettings
    from transforms.events.thresholds import read_thresholds
    from transforms.storage import StorageError

    try:
        path = arguments.thresholds
        return EventSettings(
            threshold=arguments.threshold,
            thresholds=read_thresholds(path) if path else {},
            low=arguments.low,
            labels=tuple(arguments.label),
            smooth_s=arguments.smooth,
            min_duration_s=arguments.min_duration,
            merge_gap_s=arguments.merge_gap,
            leaves=arguments.leaves,
            bounds=arguments.bounds,
        )
    except StorageError as error:
        raise ConfigError(f"cannot read thresholds {error}") from error
    except ValueError as error:
        source = f"thresholds {path}: " if path else ""
        raise ConfigError(f"{source}{error}") from error


def _cut(events: "DatasetEvents", arguments: argparse.Namespace) -> int:
    import sys

    from pipeline.results.events.cut_events import MANIFEST_NAME, cut_events
    from transforms import storage

    problems = cut_events(events, arguments.cut, arguments.top, arguments.padding)
    for problem in problems:
        print(f"fsdsinet: {problem}", file=sys.stderr)
    print(f"cut events are in {storage.join(arguments.cut, MANIFEST_NAME)}")
    return 1 if problems else 0
