"""fsdsinet manifest: writes a table of audio files that extract can read."""

import argparse

from pipeline.cli.flags.parser import Commands, add_command, number
from pipeline.cli.flags.run_flags import INPUT_HELP


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "manifest",
        run,
        "write a manifest: a table of audio files",
        "Writes a manifest, a table of audio files that extract takes as INPUT. It has "
        "one row for every file: with size and date, or for FSD50K with fname, split "
        "and labels. With --cut, each file has a row for each of its excerpts.",
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--output",
        required=True,
        metavar="M.csv|tsv|jsonl|parquet",
        help="file to write; its extension gives the format",
    )
    parser.add_argument(
        "--cut",
        type=number,
        metavar="SECONDS",
        help="cut each file into consecutive excerpts of this length; the last one "
        "goes to the end of the file",
    )
    parser.add_argument(
        "--overlap",
        type=number,
        metavar="SECONDS",
        help="time that an excerpt has in common with the one before (default: 0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.console import counted, say
    from pipeline.errors import ConfigError
    from pipeline.inputs.cut import cut_recordings
    from pipeline.inputs.manifest_files import write_manifest_file
    from pipeline.inputs.read_inputs import read_sized_inputs
    from transforms.storage import shown

    if arguments.overlap is not None and arguments.cut is None:
        raise ConfigError("--overlap is given without --cut; give both")
    inputs = read_sized_inputs(arguments.inputs, with_stat=True)
    if left_out := inputs.left_out_text():
        say(left_out)
    table, files = inputs.table, ""
    if arguments.cut is not None:
        files = f" of {counted(table.num_rows, 'file', 'files')}"
        cut = cut_recordings(table, arguments.cut, arguments.overlap or 0.0)
        table = cut.table
        if cut.unread:
            say(cut.unread_text())
    write_manifest_file(table, arguments.output)
    print(f"{counted(table.num_rows)}{files}: {shown(arguments.output)}")
    return 0
