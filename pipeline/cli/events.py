"""fsdsinet events: finds events in a dataset and writes them."""

import argparse
from typing import TYPE_CHECKING

from pipeline.cli.flags.event_flags import add_event_flags, event_settings
from pipeline.cli.flags.parser import (
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

# Defaults of options of --cut.
_TOP = 10
_PADDING_S = 0.5


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
    add_event_flags(parser, "what counts as an event")
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


def _add_cut(parser: Parser) -> None:
    parser.add_argument(
        "--cut",
        metavar="FOLDER",
        help="write the most certain events of each label as WAV files, to listen to",
    )
    parser.add_argument(
        "--top",
        type=whole_number,
        metavar="N",
        help=f"number of events of each label for --cut (default: {_TOP})",
    )
    parser.add_argument(
        "--padding",
        type=number,
        metavar="SECONDS",
        help=f"audio before and after an event for --cut (default: {_PADDING_S})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.errors import ConfigError
    from pipeline.results.events.cut_events import check_cut
    from pipeline.results.events.event_files import (
        check_path,
        other_files,
        write_events,
    )
    from pipeline.results.events.read_events import read_events
    from pipeline.results.events.summary import summary_lines
    from transforms.events.settings import EventSettings

    if not arguments.output and not arguments.cut:
        raise ConfigError("nothing to write; give --output FILE or --cut FOLDER")
    if arguments.output:
        check_path(arguments.output, arguments.format)
    elif arguments.format:
        raise ConfigError("--format has no effect without --output; give --output FILE")
    top, padding_s = _options_of_cut(arguments)
    if arguments.cut:
        check_cut(arguments.cut, top, padding_s)
    settings = event_settings(arguments) or EventSettings()
    snapshot = Snapshot(arguments.dataset, arguments.model)
    events = read_events(snapshot, settings)
    lines = summary_lines(events)
    if arguments.output:
        files = write_events(events, arguments.output, arguments.format)
        place = files[0] if len(files) == 1 else arguments.output
        lines.append(f"written to {place}" if files else "no file is written")
        lines += _about_others(other_files(arguments.output, arguments.format, files))
    print("\n".join(lines))
    return _cut(events, arguments.cut, top, padding_s) if arguments.cut else 0


def _about_others(names: list[str]) -> list[str]:
    if not names:
        return []
    return [
        f"the folder also has {len(names):,} such files that this run did not write, "
        f"for instance {names[0]}; remove them if an earlier run left them"
    ]


def _options_of_cut(arguments: argparse.Namespace) -> tuple[int, float]:
    """Returns the number of events of each label, and the seconds around an event.

    Raises:
        ConfigError: if one of the options is given without --cut.
    """
    from pipeline.errors import ConfigError

    top, padding_s = arguments.top, arguments.padding
    for name, value in (("--top", top), ("--padding", padding_s)):
        if value is not None and not arguments.cut:
            raise ConfigError(f"{name} has no effect without --cut; give --cut FOLDER")
    return (
        _TOP if top is None else top,
        _PADDING_S if padding_s is None else padding_s,
    )


def _cut(events: "DatasetEvents", folder: str, top: int, padding_s: float) -> int:
    import sys

    from pipeline.results.events.cut_events import MANIFEST_NAME, cut_events
    from transforms import storage

    problems = cut_events(events, folder, top, padding_s)
    for problem in problems:
        print(f"fsdsinet: {problem}", file=sys.stderr)
    print(f"cut events are in {storage.join(folder, MANIFEST_NAME)}")
    return 1 if problems else 0
