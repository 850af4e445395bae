"""fsdsinet manifest: writes a table of audio files that extract can read."""

import argparse

from pipeline.cli.extract import INPUT_HELP
from pipeline.cli.parser import Commands, add_command
from pipeline.console import counted, say


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "manifest",
        run,
        "write a manifest: a table of audio files",
        "Writes a manifest, a table of audio files that extract takes as INPUT. It has "
        "one row for every file: with size and date, or for FSD50K with fname, split "
        "and labels.",
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--output",
        required=True,
        metavar="M.csv|tsv|jsonl|parquet",
        help="file to write; its extension gives the format",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.inputs.manifest_files import write_manifest_file
    from pipeline.inputs.read_inputs import read_sized_inputs
    from transforms.storage import shown

    inputs = read_sized_inputs(arguments.inputs, with_stat=True)
    if left_out := inputs.left_out_text():
        say(left_out)
    write_manifest_file(inputs.table, arguments.output)
    print(f"{counted(inputs.table.num_rows)}: {shown(arguments.output)}")
    return 0
