"""fsdsinet evaluate: scores a dataset against a ground truth."""

import argparse

from pipeline.cli.parser import (
    Commands,
    Parser,
    add_command,
    add_dataset,
    add_model,
    whole_number,
)


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        "score a dataset against a ground truth",
        "Scores the clips of a dataset against a ground truth: mAP, d' and lwlrap, and "
        "the scores of every class, with 95 % confidence intervals.",
    )
    add_dataset(parser)
    parser.add_argument(
        "--ground-truth",
        required=True,
        metavar="FSD50K_ROOT|LABELS.csv",
        help="root folder of FSD50K, or a CSV file with the columns clip_id (or fname) "
        "and labels",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="clips to score: train, val, dev or eval of FSD50K (default: eval), or a "
        "value of the column split of a CSV file (default: all)",
    )
    add_model(parser)
    _add_scores(parser)
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder to write the scores to (default: OUT/evaluation/model=NAME)",
    )


def _add_scores(parser: Parser) -> None:
    parser.add_argument(
        "--aggregate",
        choices=("mean", "max", "logit-mean"),
        default="mean",
        help="how a clip's score follows from its patches: their mean, their maximum, "
        "or the sigmoid of the mean of their logits (default: %(default)s)",
    )
    parser.add_argument(
        "--missing",
        choices=("zero", "skip"),
        default="zero",
        help="clips of the ground truth without a result: score them 0 (zero) or leave "
        "them out (skip) (default: %(default)s)",
    )
    parser.add_argument(
        "--resamples",
        type=whole_number,
        default=1000,
        metavar="N",
        help="number of bootstrap resamples for the confidence intervals (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        metavar="N",
        help="random seed of the bootstrap (default: %(default)s)",
    )
    parser.add_argument(
        "--all-classes",
        action="store_true",
        help="list every class, not only the best and the worst",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.results.evaluation.evaluate import evaluate
    from pipeline.results.evaluation.evaluation_files import (
        table_lines,
        write_evaluation,
    )
    from pipeline.results.evaluation.settings import Settings
    from transforms import storage

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
    default = snapshot.dataset.file("evaluation", f"model={snapshot.model}")
    folder = arguments.output or default
    write_evaluation(evaluation, folder)
    print("\n".join(table_lines(evaluation, arguments.all_classes)))
    place = storage.shown(folder)
    print(f"written to {place}: evaluation.json, classes.csv, classes.png")
    return 0
