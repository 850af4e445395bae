"""fsdsinet extract: runs models on audio and writes a dataset."""

import argparse
import contextlib
from typing import TYPE_CHECKING, Any

from pipeline.cli.event_flags import add_event_flags
from pipeline.cli.parser import Commands, Parser, add_command, whole_number

if TYPE_CHECKING:
    from pipeline.config import RunConfig

INPUT_HELP = (
    "audio file, folder, glob pattern, manifest (.csv, .tsv, .jsonl or .parquet) or "
    "root folder of FSD50K; repeat for several"
)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


# Options that are keys of the YAML file, too. The defaults in the texts are those of
# RunConfig (a test compares them), which takes seconds to import.
_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--model",
        {
            "dest": "models",
            "action": "append",
            "metavar": "NAME|PATH.pb",
            "help": "name of a model (see 'fsdsinet models list') or path of a graph; "
            "repeat for several",
        },
    ),
    (
        "--output",
        {
            "metavar": "OUT",
            "help": "folder of the dataset: a path, or a uri such as s3://bucket/name",
        },
    ),
    (
        "--engine",
        {
            "metavar": "winograd|essentia",
            "help": "program that runs the models: winograd is fast, essentia is the "
            "reference implementation (default: winograd)",
        },
    ),
    (
        "--last-patch",
        {
            "metavar": "repeat|discard",
            "help": "how to treat the end of a clip that is too short for a patch: "
            "repeat it until the patch is full, or discard it (default: repeat)",
        },
    ),
    (
        "--patch-hop",
        {
            "type": whole_number,
            "metavar": "FRAMES",
            "help": "distance between the starts of two patches, in frames of 10 ms "
            "(default: 50)",
        },
    ),
    (
        "--outputs",
        {
            "type": _names,
            "metavar": "NAMES",
            "help": "what to store, separated by commas: activations and embeddings of "
            "every patch, events (default: activations,embeddings)",
        },
    ),
    (
        "--workers",
        {
            "type": whole_number,
            "metavar": "N",
            "help": "number of worker processes (default: one for every core of this "
            "machine, for every free slot of a Flink cluster, or for every core of one "
            "machine on Dataflow)",
        },
    ),
    (
        "--shard-clips",
        {
            "type": whole_number,
            "metavar": "N",
            "help": "number of clips that are computed and written together (default: "
            "up to 64, so that the parts take equally long)",
        },
    ),
    (
        "--clip-timeout",
        {
            "type": whole_number,
            "metavar": "SECONDS",
            "help": "time in which a clip must be read and decoded, to which 1 s for "
            "every 20 kB of its file is added; otherwise it fails with 'timeout' "
            "(default: 1800)",
        },
    ),
    (
        "--long-clip",
        {
            "type": whole_number,
            "metavar": "SECONDS",
            "help": "duration above which a clip is computed in segments of half of "
            "it, on several workers, with the same results (default: 600)",
        },
    ),
    (
        "--time-from",
        {
            "type": _names,
            "metavar": "NAMES",
            "help": "what may state when a recording started, separated by commas: the "
            "column recorded_at of the manifest, GUANO metadata, the comment of an "
            "AudioMoth, the name of the file; the first one with a time counts "
            "(default: column,guano,comment,name)",
        },
    ),
    (
        "--timezone",
        {
            "metavar": "AREA/CITY",
            "help": "zone of times that state none, such as Europe/Berlin (default: "
            "they stay local times without an offset)",
        },
    ),
    (
        "--runner",
        {
            "metavar": "local|flink|dataflow",
            "help": "where the job runs: on this machine, on a Flink cluster or on "
            "Google Cloud Dataflow (default: local)",
        },
    ),
    (
        "--detach",
        {
            "action": "store_true",
            "help": "return as soon as the job runs on its cluster; 'fsdsinet job' "
            "watches and stops it",
        },
    ),
    (
        "--retry-failed",
        {
            "action": "store_true",
            "help": "run the clips that failed in earlier runs again",
        },
    ),
    (
        "--retry-changed",
        {
            "action": "store_true",
            "help": "run the clips whose files changed since earlier runs again, and "
            "the clips that were written together with them",
        },
    ),
    (
        "--overwrite",
        {"action": "store_true", "help": "remove an existing dataset in OUT first"},
    ),
    (
        "--fail-on-error",
        {"action": "store_true", "help": "exit with code 1 if any clip failed"},
    ),
)


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
    for flag, settings in _OPTIONS:
        parser.add_argument(flag, **settings)
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
