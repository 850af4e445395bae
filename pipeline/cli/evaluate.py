"""fsdsinet evaluate: scores a dataset against a ground truth."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.cli.flags.event_flags import add_event_flags, given_event_options
from pipeline.cli.flags.parser import (
    Commands,
    Parser,
    add_command,
    add_dataset,
    add_model,
    number,
    whole_number,
)

if TYPE_CHECKING:
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.results.evaluation.settings import Objective, ThresholdSettings

# Options that only one kind of ground truth has, besides those of event_flags.py.
_FOR_CLIPS = (
    *("split", "aggregate", "fit_thresholds"),
    *("fit_split", "objective", "cross_validate"),
)
_FOR_EVENTS = ("collar", "segment", "all_clips")


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        "score a dataset against a ground truth",
        "Scores the clips of a dataset against a ground truth: mAP, d' and lwlrap, and "
        "the scores of every class, with 95 % confidence intervals. With "
        "--fit-thresholds also the thresholds of classes, fitted on other clips. With "
        "--events scores events: precision, recall and F1 of events and of segments.",
    )
    add_dataset(parser)
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument(
        "--ground-truth",
        metavar="FSD50K_ROOT|LABELS.csv",
        help="root folder of FSD50K, or a CSV file with the columns clip_id (or fname) "
        "and labels",
    )
    truth.add_argument(
        "--events",
        metavar="EVENTS.csv",
        help="true events: a CSV or Parquet file with the columns clip_id or uri, and "
        "label, start_s, end_s (seconds in the file); a column correct (yes or no) has "
        "marks on found events",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="clips to score: train, val, dev or eval of FSD50K (default: eval), or a "
        "value of the column split of a CSV file (default: all)",
    )
    add_model(parser)
    _add_scores(parser)
    _add_thresholds(parser)
    _add_event_scores(parser)
    add_event_flags(parser, "what counts as an event, with --events", True)
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder to write the scores to (default: OUT/evaluation/model=NAME)",
    )


def _add_scores(parser: Parser) -> None:
    parser.add_argument(
        "--aggregate",
        choices=("mean", "max", "logit-mean"),
        help="how a clip's score follows from its patches: their mean, their maximum, "
        "or the sigmoid of the mean of their logits (default: mean)",
    )
    parser.add_argument(
        "--missing",
        choices=("zero", "skip"),
        default="zero",
        help="clips of the ground truth without a result: score them 0 (zero; their "
        "events count as not found) or leave them out (skip) (default: %(default)s)",
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
        help="random seed of the bootstrap and of the folds (default: %(default)s)",
    )
    parser.add_argument(
        "--all-classes",
        action="store_true",
        help="list every class, not only the best and the worst",
    )


def _add_thresholds(parser: Parser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--fit-thresholds",
        metavar="FILE.csv",
        help="find the best threshold of every class on the clips of --fit-split, "
        "write it to this file, and score it on the clips of --split: precision, "
        "recall and F1",
    )
    group.add_argument(
        "--thresholds",
        metavar="FILE.csv",
        help="score the thresholds of this file (columns: label, threshold; with "
        "--events also low, if wanted)",
    )
    parser.add_argument(
        "--fit-split",
        metavar="NAME",
        help="clips to fit thresholds on (default: val of FSD50K)",
    )
    parser.add_argument(
        "--objective",
        type=_objective,
        metavar="f1|precision:P",
        help="what a threshold is best for: the highest F1, or the highest recall with "
        "a precision of at least P, such as precision:0.9 (default: f1)",
    )
    parser.add_argument(
        "--cross-validate",
        type=whole_number,
        metavar="K",
        help="fit and score thresholds on the same clips, in K folds: each fold is "
        "scored with thresholds that are fitted on the others",
    )


def _add_event_scores(parser: Parser) -> None:
    group = parser.add_argument_group("scores of events, with --events")
    group.add_argument(
        "--collar",
        type=number,
        metavar="SECONDS",
        help="a found event is right if its start is at most this far from that of the "
        "true event, and its end too, or by 20 %% of the true event's length (default: "
        "0.5, as the models say every half second what sounds)",
    )
    group.add_argument(
        "--segment",
        type=number,
        metavar="SECONDS",
        help="length of a segment, for the scores of segments (default: 1.0)",
    )
    group.add_argument(
        "--all-clips",
        action="store_true",
        default=None,
        help="also score clips of recordings that the file does not name: whatever is "
        "found there is a false alarm (default: only recordings that it names)",
    )


def _objective(text: str) -> "Objective":
    from pipeline.results.evaluation.settings import parse_objective

    try:
        return parse_objective(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _threshold_settings(arguments: argparse.Namespace) -> "ThresholdSettings | None":
    """Returns the settings of thresholds; None if there is no option for them.

    Raises:
        ConfigError: if options are given that only the fit of thresholds has.
    """
    from pipeline.errors import ConfigError
    from pipeline.results.evaluation.settings import Objective, ThresholdSettings

    options = ("fit_split", "objective", "cross_validate")
    given = [name for name in options if getattr(arguments, name) is not None]
    if given and not arguments.fit_thresholds:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} is given without --fit-thresholds; add "
            "--fit-thresholds FILE.csv, the file to write"
        )
    if arguments.thresholds:
        return ThresholdSettings(arguments.thresholds, is_fitted=False)
    if not arguments.fit_thresholds:
        return None
    return ThresholdSettings(
        arguments.fit_thresholds,
        fit_split=arguments.fit_split,
        objective=arguments.objective or Objective(),
        num_folds=arguments.cross_validate,
    )


def _refuse(arguments: argparse.Namespace, keys: Iterable[str], other: str) -> None:
    """Refuses options that belong to the other kind of ground truth.

    Raises:
        ConfigError: if one of the options is given.
    """
    from pipeline.errors import ConfigError

    for key in keys:
        if getattr(arguments, key, None) is not None:
            raise ConfigError(
                f"--{key.replace('_', '-')} is given without {other}; leave it out, or "
                f"give {other}"
            )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    return _score_events(arguments) if arguments.events else _score_clips(arguments)


def _score_events(arguments: argparse.Namespace) -> int:
    from pipeline.event_options import EventOptions
    from pipeline.results.event_scores.score import EventScoreSettings, evaluate_events
    from pipeline.results.event_scores.score_files import (
        CSV_NAME,
        JSON_NAME,
        write_scores,
    )
    from pipeline.results.event_scores.score_lines import score_lines
    from transforms import storage

    _refuse(arguments, _FOR_CLIPS, "--ground-truth")
    keys = ("collar", "segment")
    values = {
        f"{key}_s": x for key in keys if (x := getattr(arguments, key)) is not None
    }
    evaluation = evaluate_events(
        arguments.dataset,
        arguments.events,
        arguments.model,
        EventOptions(**given_event_options(arguments)),
        EventScoreSettings(
            **values,
            all_clips=arguments.all_clips or False,
            missing=arguments.missing,
            num_resamples=arguments.resamples,
            seed=arguments.seed,
        ),
    )
    folder = arguments.output or _default_folder(evaluation.snapshot)
    write_scores(evaluation, folder)
    print("\n".join(score_lines(evaluation, arguments.all_classes)))
    print(f"written to {storage.shown(folder)}: {JSON_NAME}, {CSV_NAME}")
    return 0


def _default_folder(snapshot: "Snapshot") -> str:
    return snapshot.dataset.file("evaluation", f"model={snapshot.model}")


def _score_clips(arguments: argparse.Namespace) -> int:
    from pipeline.results.evaluation.evaluate import evaluate
    from pipeline.results.evaluation.evaluation_files import (
        table_lines,
        write_evaluation,
    )
    from pipeline.results.evaluation.settings import Settings
    from pipeline.results.evaluation.threshold_files import write_thresholds
    from transforms import storage

    of_events = {key for key in given_event_options(arguments) if key != "thresholds"}
    _refuse(arguments, (*_FOR_EVENTS, *of_events), "--events")
    evaluation = evaluate(
        arguments.dataset,
        arguments.ground_truth,
        arguments.split,
        arguments.model,
        Settings(
            arguments.aggregate or "mean",
            arguments.missing,
            arguments.resamples,
            arguments.seed,
        ),
        _threshold_settings(arguments),
    )
    folder = arguments.output or _default_folder(evaluation.snapshot)
    if arguments.fit_thresholds and evaluation.thresholds:
        write_thresholds(evaluation.thresholds)
    write_evaluation(evaluation, folder)
    print("\n".join(table_lines(evaluation, arguments.all_classes)))
    place = storage.shown(folder)
    print(f"written to {place}: evaluation.json, classes.csv, classes.png")
    if arguments.fit_thresholds:
        print(f"written to {arguments.fit_thresholds}: the thresholds")
    return 0
