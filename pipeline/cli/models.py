"""fsdsinet models: lists, downloads and checks models."""

import argparse

from pipeline.cli.flags.parser import EXIT_USAGE, Commands, add_command


def add_parser(commands: Commands) -> None:
    """Adds the command and its sub-commands to the parser."""
    text = "list, download and check models"
    parser = commands.add_parser(
        "models", help=text, description="Lists, downloads and checks models."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_list(actions)
    _add_fetch(actions)
    _add_verify(actions)


def _add_list(actions: Commands) -> None:
    add_command(
        actions,
        "list",
        run_list,
        "list all models that have a name",
        "Lists all models that have a name, and says which of them are on this "
        "machine.",
    )


def run_list(arguments: argparse.Namespace) -> int:
    """Runs the sub-command and returns its exit code."""
    from pipeline.model_files.listing import models_table

    print("\n".join(models_table()))
    return 0


def _add_fetch(actions: Commands) -> None:
    fetch = add_command(
        actions,
        "fetch",
        run_fetch,
        "download a published model",
        "Downloads a published model and checks its hash.",
    )
    fetch.add_argument("name", metavar="NAME", help="name of the model")
    fetch.add_argument(
        "--from",
        dest="source",
        metavar="URL|FOLDER",
        help="mirror or local folder that has NAME.pb and NAME.json (default: the site "
        "of Essentia)",
    )


def run_fetch(arguments: argparse.Namespace) -> int:
    """Runs the sub-command and returns its exit code."""
    from pipeline.model_files.fetch import fetch_model
    from transforms.models.registry import models_folder, registered_model

    model = registered_model(arguments.name)
    print(fetch_model(model, models_folder(), arguments.source))
    return 0


def _add_verify(actions: Commands) -> None:
    verify = add_command(
        actions,
        "verify",
        run_verify,
        "check a model and run it on a few sounds",
        "Checks the hash, the graph and the classes of a model, runs it with every "
        "engine on a few sounds and compares the results.",
    )
    verify.add_argument(
        "name", metavar="NAME|PATH.pb", help="name of the model or path of its graph"
    )


def run_verify(arguments: argparse.Namespace) -> int:
    """Runs the sub-command and returns its exit code."""
    from pipeline.model_files.verify import verify_model

    is_good = True
    for check in verify_model(arguments.name):
        print(check)
        is_good &= check.is_good
    return 0 if is_good else EXIT_USAGE
