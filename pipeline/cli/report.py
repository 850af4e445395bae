"""fsdsinet report: writes a page that shows a whole dataset."""

import argparse

from pipeline.cli.flags.event_flags import add_event_flags, event_settings
from pipeline.cli.flags.parser import Commands, add_command, add_dataset


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "report",
        run,
        "write a web page that shows the whole dataset",
        "Writes one web page with the run, the failures, the labels, the events, the "
        "clips and a map of the clips. A browser shows the page without a network.",
    )
    add_dataset(parser)
    parser.add_argument(
        "--output", required=True, metavar="FILE.html", help="page to write"
    )
    add_event_flags(parser, "what counts as an event")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.results.report.write_report import write_report

    settings = event_settings(arguments)
    num_bytes = write_report(arguments.dataset, arguments.output, settings=settings)
    print(f"{arguments.dataset}: {arguments.output} ({num_bytes / 1e6:.1f} MB)")
    return 0
