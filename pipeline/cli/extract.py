"""fsdsinet extract: runs models on audio and writes a dataset."""

import argparse
import contextlib
from typing import TYPE_CHECKING

from pipeline.cli.flags.event_flags import add_event_flags
from pipeline.cli.flags.parser import Commands, Parser, add_command
from pipeline.cli.flags.run_flags import INPUT_HELP, add_run_flags

if TYPE_CHECKING:
    from pipeline.config import RunConfig


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "extract",
        run,
        "run models on audio and write a dataset",
        "Runs models on audio files and writes class activations and embeddings for "
        "every patch (about one second of audio) to a dataset of Parquet files. To "
        "continue a run that was stopped, run the same command again.",
        usage="fsdsinet extract INPUT ... --model NAME|PATH.pb --output OUT "
        "[OPTION ...] [-- BEAM_FLAG ...]",
        epilog="Flags for Apache Beam follow after --, for example: "
        "-- --flink_master=localhost:8081",
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(config=None, set=[], dry_run=False)
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", default=[], help=INPUT_HELP
    )
    _add_options(parser)


def _add_options(parser: Parser) -> None:
    add_run_flags(parser)
    add_event_flags(parser, "with --outputs events")
    parser.add_argument(
        "--config",
        metavar="FILE.yaml",
        help="YAML file with options; the keys are inputs, models and the names of the "
        "options with _ for -; options of the command line override the file",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="one key of the YAML file, overrides the file; repeat for several",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check options, models and inputs, print the plan and start no job",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.runners.job_process import LOCAL_JOB, JobProcess

    if arguments.dry_run:
        from pipeline.launch.dry_run import dry_run_command

        return dry_run_command(_run_config(arguments))
    runs_here = getattr(arguments, "runner", "local") == "local"
    # The job process loads Beam on another core while this process checks the options.
    early = JobProcess(LOCAL_JOB) if runs_here else None
    with early or contextlib.nullcontext():
        config = _run_config(arguments)
        if early and config.runner != "local":
            # The configuration file names another runner.
            early.close()
            early = None
        from pipeline.launch.launch import extract_command

        return extract_command(config, early)


def _run_config(arguments: argparse.Namespace) -> "RunConfig":
    from pipeline.config import load_config

    not_keys = {"run", "config", "set", "dry_run"}
    given = {
        key: value for key, value in vars(arguments).items() if key not in not_keys
    }
    for key in ("inputs", "beam_flags"):
        if not given[key]:
            # Keep those of the configuration file.
            del given[key]
    return load_config(arguments.config, arguments.set, given)
