"""Commands that compute on a dataset: evaluate and search."""

import argparse
import pathlib
from typing import Any

from pipeline.errors import ConfigError


def add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="score a dataset against a ground truth",
        description="Scores the clips of a dataset against a ground truth: mAP, d', "
        "lwlrap and every class, with 95 %% confidence intervals.",
    )
    parser.set_defaults(command=_evaluate)
    parser.add_argument("dataset", metavar="OUT", help="folder of the dataset")
    parser.add_argument(
        "--ground-truth",
        required=True,
        metavar="FSD50K_ROOT|LABELS.csv",
        help="root of FSD50K, or a CSV file with clip_id or fname, and labels",
    )
    split_help = "train, val, dev or eval of FSD50K (eval); a value of split of a CSV"
    parser.add_argument("--split", help=split_help)
    parser.add_argument("--model", help="needed if the dataset has several")
    parser.add_argument(
        "--aggregate",
        choices=("mean", "max"),
        default="mean",
        help="from patches to a clip (default: mean)",
    )
    parser.add_argument(
        "--missing",
        choices=("zero", "skip"),
        default="zero",
        help="clips without a result: scored 0 (default), or left out",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=1000,
        metavar="N",
        help="of the bootstrap (default: 1000)",
    )
    seed_help = "of the bootstrap (default: 0)"
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=seed_help)
    classes_help = "list every class, not only the best and the worst"
    parser.add_argument("--all-classes", action="store_true", help=classes_help)
    output_help = "for the files (default: OUT/evaluation/model=NAME)"
    parser.add_argument("--output", metavar="FOLDER", help=output_help)


def _evaluate(arguments: argparse.Namespace) -> int:
    from pipeline.evaluate import Settings, evaluate
    from pipeline.evaluation_files import table_lines, write_evaluation

    _refuse_beam_flags(arguments)
    evaluation = evaluate(
        arguments.dataset,
        arguments.ground_truth,
        arguments.split,
        arguments.model,
        Settings(
            arguments.aggregate, arguments.missing, arguments.resamples, arguments.seed
        ),
    )
    snapshot = evaluation.snapshot
    default = snapshot.dataset.root / "evaluation" / f"model={snapshot.model}"
    folder = pathlib.Path(arguments.output or default)
    write_evaluation(evaluation, folder)
    print("\n".join(table_lines(evaluation, arguments.all_classes)))
    print(f"written to {folder}: evaluation.json, classes.csv, classes.png")
    return 0


def _refuse_beam_flags(arguments: argparse.Namespace) -> None:
    if arguments.beam_flags:
        raise ConfigError("only extract takes flags for Beam (after --)")
