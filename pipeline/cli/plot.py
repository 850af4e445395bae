"""fsdsinet plot: draws the labels of clips over time."""

import argparse

from pipeline.cli.flags.parser import (
    Commands,
    add_command,
    add_dataset,
    add_model,
    whole_number,
)

CLIP_HELP = "clip_id; or uri or file name, if only one clip has it"


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "plot",
        run,
        "draw the labels of clips over time",
        "Draws the activations of labels over time, one clip below the other.",
    )
    add_dataset(parser)
    parser.add_argument(
        "--clip",
        required=True,
        action="append",
        metavar="ID",
        help=f"{CLIP_HELP}; repeat for several",
    )
    add_model(parser)
    parser.add_argument(
        "--top",
        type=whole_number,
        default=10,
        metavar="N",
        help="number of labels, those with the highest means (default: %(default)s)",
    )
    parser.add_argument(
        "--labels",
        action="append",
        default=[],
        metavar="LABEL",
        help="label to draw, instead of those of --top; repeat for several",
    )
    parser.add_argument(
        "--events",
        metavar="FILE",
        help="events to draw over the activations, as 'fsdsinet events' writes them "
        "(.csv or .parquet)",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE.png|svg|pdf",
        help="picture to write; its extension gives the format",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.results.plots import plot_clips

    clip_ids = plot_clips(
        arguments.dataset,
        arguments.clip,
        arguments.model,
        arguments.output,
        arguments.top,
        arguments.labels,
        arguments.events,
    )
    print(f"{', '.join(clip_ids)}: {arguments.output}")
    return 0
