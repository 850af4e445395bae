"""fsdsinet compact: puts small files of a dataset together to large ones."""

import argparse

from pipeline.cli.flags.parser import Commands, add_command, add_dataset, whole_number


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "compact",
        run,
        "put small files of a dataset together to large ones",
        "Puts the small files that a run writes together to large ones, which are "
        "faster to read. The rows stay the same. The command may be killed and run "
        "again at any time, and datasets may be read meanwhile.",
    )
    add_dataset(parser)
    parser.add_argument(
        "--target-mb",
        type=whole_number,
        default=256,
        metavar="N",
        help="size of the large files of the largest table; files of half this size "
        "or more stay as they are (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.launch.compact import compact_command

    return compact_command(arguments.dataset, arguments.target_mb)
