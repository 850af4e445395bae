"""The fsdsinet command: parse, then call a function that takes plain values.

Commands import what they need when they run: Beam and Arrow take a second to load, and
warn about themselves before logging is set up.
"""

import argparse
import contextlib
import importlib.metadata
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.results import add_results_commands, refuse_beam_flags
from transforms.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import RunConfig

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments, beam_flags = _split_beam_flags(arguments)
    parsed = _parse(arguments)
    parsed.beam_flags = beam_flags
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold what the terminal cannot show.
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int = parsed.command(parsed)
        return code
    except UserError as error:
        print(f"fsdsinet: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("fsdsinet: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        from transforms.storage import StorageError

        # A store may go away while Arrow reads from it.
        if not isinstance(error, StorageError | OSError):
            raise
        print(f"fsdsinet: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Parses strictly, but lets INPUTs stand between and after options."""
    parser = _parser()
    parsed, others = parser.parse_known_args(arguments)
    options = [argument for argument in others if argument.startswith("-")]
    if options or (others and "inputs" not in parsed):
        parser.error(f"unrecognized arguments: {' '.join(options or others)}")
    if others:
        parsed.inputs = [*parsed.inputs, *others]
    return parsed


def _split_beam_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    index = arguments.index("--")
    return arguments[:index], arguments[index + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fsdsinet",
        description="Class activations and embeddings of audio clips, by FSD-SINet.",
        allow_abbrev=False,
    )
    version = importlib.metadata.version("fsd-sinet-beam")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_extract(commands)
    _add_manifest(commands)
    add_results_commands(commands)
    _add_models(commands)
    _add_job(commands)
    return parser


# Options of extract; all but the last also are keys of the YAML file.
_EXTRACT_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--model",
        {
            "dest": "models",
            "action": "append",
            "metavar": "NAME|PATH.pb",
            "help": "model to run; repeat for several",
        },
    ),
    ("--output", {"metavar": "OUT", "help": "folder of the dataset"}),
    (
        "--engine",
        {"help": "what runs the graphs: winograd (default, fast) or essentia"},
    ),
    (
        "--last-patch",
        {
            "metavar": "repeat|discard",
            "help": "keep the end of a clip in a filled-up patch, or drop it (repeat)",
        },
    ),
    (
        "--patch-hop",
        {
            "type": int,
            "metavar": "FRAMES",
            "help": "from one patch to the next, in frames of 10 ms (default: 50)",
        },
    ),
    (
        "--outputs",
        {
            "type": lambda text: [name.strip() for name in text.split(",")],
            "metavar": "NAMES",
            "help": "what to store for every patch (default: activations,embeddings)",
        },
    ),
    (
        "--workers",
        {"type": int, "metavar": "N", "help": "worker processes (default: one a core)"},
    ),
    (
        "--shard-clips",
        {"type": int, "metavar": "N", "help": "clips in a shard (default: up to 64)"},
    ),
    (
        "--runner",
        {
            "metavar": "local|flink|dataflow",
            "help": "where the job runs (default: local, on all cores)",
        },
    ),
    (
        "--detach",
        {"action": "store_true", "help": "return once the job runs on its cluster"},
    ),
    (
        "--retry-failed",
        {"action": "store_true", "help": "run the clips that failed before again"},
    ),
    (
        "--overwrite",
        {"action": "store_true", "help": "remove the dataset in OUT first"},
    ),
    (
        "--fail-on-error",
        {"action": "store_true", "help": "exit with code 1 if clips failed"},
    ),
    (
        "--dry-run",
        {"action": "store_true", "help": "check all, print the plan, start nothing"},
    ),
)


def _add_extract(commands: Any) -> None:
    parser = commands.add_parser(
        "extract",
        allow_abbrev=False,
        help="run models on audio, write one Parquet dataset",
        description="Runs models on audio and writes one Parquet dataset. Run the same "
        "command again to continue a run that was stopped.",
        epilog="Flags after -- go to Beam.",
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(command=_extract, config=None, set=[], dry_run=False)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        default=[],
        help="manifest (.csv .tsv .jsonl .parquet), audio file, folder, glob or FSD50K",
    )
    config_help = "options from a file; flags win over it"
    parser.add_argument("--config", metavar="FILE.yaml", help=config_help)
    set_help = "one option of the file"
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help=set_help)
    for flag, settings in _EXTRACT_OPTIONS:
        parser.add_argument(flag, **settings)


def _add_manifest(commands: Any) -> None:
    parser = commands.add_parser(
        "manifest",
        allow_abbrev=False,
        help="write a manifest of audio files",
        description="Writes a manifest: fname, split and labels for an FSD50K root, "
        "size and date for other audio files.",
    )
    parser.set_defaults(command=_manifest)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="as for extract")
    parser.add_argument("--output", required=True, metavar="M.csv|tsv|jsonl|parquet")


def _add_models(commands: Any) -> None:
    text = "list, fetch and verify models"
    parser = commands.add_parser(
        "models", allow_abbrev=False, help=text, description=text
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, command: Callable, text: str) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(
            name, allow_abbrev=False, help=text, description=text
        )
        action.set_defaults(command=command)
        return action

    add("list", _models_list, "what models there are, and which of them are here")
    fetch = add("fetch", _models_fetch, "download a published model")
    fetch.add_argument("name", metavar="NAME")
    fetch.add_argument(
        "--from",
        dest="source",
        metavar="URL|FOLDER",
        help="mirror, or local folder, with NAME.pb and NAME.json in it",
    )
    text = "check hash, graph and classes of a model, run it with every engine"
    verify = add("verify", _models_verify, text)
    verify.add_argument("name", metavar="NAME|PATH.pb")


def _add_job(commands: Any) -> None:
    parser = commands.add_parser(
        "job",
        allow_abbrev=False,
        help="look at, wait for or stop a job on a cluster",
        description="Shows the cluster job that writes to a dataset.",
    )
    parser.set_defaults(command=_job)
    parser.add_argument("output", metavar="OUT", help="folder of the dataset")
    what = parser.add_mutually_exclusive_group()
    for name, text in (
        ("--wait", "show progress until the job has ended, and sum up"),
        ("--stop", "stop it, and wait until the cluster says that it has ended"),
        ("--forget", "its cluster is gone for good: let the next run begin"),
    ):
        what.add_argument(name, action="store_true", help=text)


def _extract(arguments: argparse.Namespace) -> int:
    from pipeline.runners.job_process import LOCAL_JOB, JobProcess

    if arguments.dry_run:
        from pipeline.run.dry_run import dry_run_command

        return dry_run_command(_run_config(arguments))
    runs_here = getattr(arguments, "runner", "local") == "local"
    # It loads Beam on another core while this process does.
    early = JobProcess(LOCAL_JOB) if runs_here else None
    with early or contextlib.nullcontext():
        config = _run_config(arguments)
        if early and config.runner != "local":
            # A configuration file says so.
            early.close()
            early = None
        from pipeline.run.launch import extract_command

        return extract_command(config, early)


def _run_config(arguments: argparse.Namespace) -> "RunConfig":
    from pipeline.config import load_config

    flags = vars(arguments)
    own = {"command", "config", "set", "dry_run"}
    given = {key: value for key, value in flags.items() if key not in own}
    for key in ("inputs", "beam_flags"):
        if not given[key]:
            del given[key]
    return load_config(arguments.config, arguments.set, given)


def _job(arguments: argparse.Namespace) -> int:
    from pipeline.run.jobs import job_command

    refuse_beam_flags(arguments)
    return job_command(
        arguments.output, arguments.wait, arguments.stop, arguments.forget
    )


def _manifest(arguments: argparse.Namespace) -> int:
    from pipeline.inputs.inputs import read_inputs
    from pipeline.inputs.manifest_files import write_manifest_file
    from transforms.storage import shown

    refuse_beam_flags(arguments)
    table = read_inputs(arguments.inputs, with_stat=True)
    write_manifest_file(table, arguments.output)
    print(f"{table.num_rows:,} clips: {shown(arguments.output)}")
    return 0


def _models_list(arguments: argparse.Namespace) -> int:
    from pipeline.models.listing import models_table

    refuse_beam_flags(arguments)
    print("\n".join(models_table()))
    return 0


def _models_fetch(arguments: argparse.Namespace) -> int:
    from pipeline.models.fetch import fetch_model
    from transforms.models.registry import models_folder, registered_model

    refuse_beam_flags(arguments)
    model = registered_model(arguments.name)
    print(fetch_model(model, models_folder(), arguments.source))
    return 0


def _models_verify(arguments: argparse.Namespace) -> int:
    from pipeline.models.verify import verify_model

    refuse_beam_flags(arguments)
    is_good = True
    for check in verify_model(arguments.name):
        print(check)
        is_good &= check.is_good
    return 0 if is_good else EXIT_USAGE
