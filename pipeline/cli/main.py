"""The fsdsinet command: reads a command line, runs one command, returns an exit code.

Every command has a module here with its options and its function. The function imports
what it needs when it runs: Beam and Arrow take a second to load.
"""

import argparse
import importlib.metadata
import io
import logging
import os
import sys
from collections.abc import Sequence

from pipeline.cli import (
    compact,
    evaluate,
    events,
    extract,
    job,
    manifest,
    models,
    plot,
    report,
    search,
    shift_test,
    top,
)
from pipeline.cli.flags.parser import EXIT_USAGE, Parser
from pipeline.errors import ConfigError
from transforms.errors import UserError

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
# In the order in which `fsdsinet --help` lists them.
_COMMANDS = (
    extract,
    manifest,
    top,
    events,
    plot,
    report,
    evaluate,
    search,
    shift_test,
    compact,
    models,
    job,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        argv: Arguments; those of the process if None.

    Raises:
        SystemExit: with code 2 for a malformed command line, and with code 0 after
            `--help` and `--version`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments, beam_flags = _split_beam_flags(arguments)
    parsed = _parser().parse_args(arguments)
    parsed.beam_flags = beam_flags
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold characters that the terminal cannot show.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(parsed)
    except UserError as error:
        print(f"fsdsinet: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("fsdsinet: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has gone; Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        from transforms.storage import StorageError

        # A disk or a bucket may fail while Arrow reads from it.
        if not isinstance(error, StorageError | OSError):
            raise
        print(f"fsdsinet: {error}", file=sys.stderr)
        return EXIT_FAILED


def _run(parsed: argparse.Namespace) -> int:
    if parsed.beam_flags and parsed.run is not extract.run:
        raise ConfigError("only extract takes flags for Beam (after --)")
    code: int = parsed.run(parsed)
    return code


def _split_beam_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    index = arguments.index("--")
    return arguments[:index], arguments[index + 1 :]


def _parser() -> Parser:
    parser = Parser(
        prog="fsdsinet",
        description="Recognises sounds in audio files with FSD-SINet models: computes "
        "class activations and embeddings, and lists, draws, scores and searches them.",
        epilog="'fsdsinet COMMAND --help' explains a command. Exit codes: 0 success, "
        "1 failure, 2 wrong option or input, 130 stopped by Ctrl-C.",
    )
    version = importlib.metadata.version("fsd-sinet-beam")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
