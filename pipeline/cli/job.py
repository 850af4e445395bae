"""fsdsinet job: shows, waits for or stops a job on a cluster."""

import argparse

from pipeline.cli.flags.parser import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "job",
        run,
        "show, wait for or stop a job on a cluster",
        "Shows the job on a cluster that writes to a dataset, waits for it or stops "
        "it.",
    )
    parser.add_argument("output", metavar="OUT", help="folder of the dataset")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--wait",
        action="store_true",
        help="show progress until the job has ended, then print the summary",
    )
    what.add_argument(
        "--stop",
        action="store_true",
        help="stop the job, and wait until the cluster reports its end",
    )
    what.add_argument(
        "--forget",
        action="store_true",
        help="forget a job whose cluster no longer exists, so that a new run can start",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.launch.cluster_jobs import job_command

    return job_command(
        arguments.output, arguments.wait, arguments.stop, arguments.forget
    )
