"""fsdsinet top: lists the best labels of every clip of a dataset."""

import argparse

from pipeline.cli.flags.parser import (
    Commands,
    add_command,
    add_dataset,
    add_model,
    whole_number,
)


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "top",
        run,
        "list the best labels of every clip",
        "Lists every clip of a dataset with the labels that have the highest mean "
        "activations.",
    )
    add_dataset(parser)
    add_model(parser)
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column of the manifest to show beside the clip, such as a description",
    )
    parser.add_argument(
        "--labels",
        type=whole_number,
        default=3,
        metavar="N",
        help="number of labels, up to 10 (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.results.top_labels import list_top_labels

    for line in list_top_labels(
        arguments.dataset, arguments.model, arguments.column, arguments.labels
    ):
        print(line)
    return 0
