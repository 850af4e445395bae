"""Commands that read a dataset: top, plot, report, evaluate and search."""

import argparse
from typing import Any

from pipeline.errors import ConfigError


def add_results_commands(commands: Any) -> None:
    """Adds the parsers of all commands here."""
    for add in (_add_top, _add_plot, _add_report, _add_evaluate, _add_search):
        add(commands)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    """Which model's results of which dataset are meant."""
    parser.add_argument("dataset", metavar="OUT", help="folder of the dataset")
    parser.add_argument("--model", help="needed if the dataset has several")


def _add_top(commands: Any) -> None:
    parser = commands.add_parser(
        "top",
        allow_abbrev=False,
        help="list what was heard in every clip",
        description="Lists the labels with the highest mean activations, one line a "
        "clip, from the dataset alone.",
    )
    parser.set_defaults(command=_top)
    _add_dataset(parser)
    column_help = "column of the manifest to show, what a clip is for instance"
    parser.add_argument("--column", metavar="NAME", help=column_help)
    labels_help = "how many labels, up to 10 (default: 3)"
    parser.add_argument("--labels", type=int, default=3, metavar="N", help=labels_help)


def _top(arguments: argparse.Namespace) -> int:
    from pipeline.results.top_labels import list_top_labels

    refuse_beam_flags(arguments)
    for line in list_top_labels(
        arguments.dataset, arguments.model, arguments.column, arguments.labels
    ):
        print(line)
    return 0


def _add_plot(commands: Any) -> None:
    parser = commands.add_parser(
        "plot",
        allow_abbrev=False,
        help="draw the top labels of clips over time",
        description="Draws the top labels of clips over time, from the dataset alone.",
    )
    parser.set_defaults(command=_plot)
    _add_dataset(parser)
    clip_help = (
        "clip_id, or uri or file name if only one clip has it; repeat for several"
    )
    parser.add_argument(
        "--clip", required=True, action="append", metavar="ID", help=clip_help
    )
    top_help = "how many labels, those with the highest means (default: 10)"
    parser.add_argument("--top", type=int, default=10, metavar="N", help=top_help)
    labels_help = "draw this label, by its name; repeat for several, instead of --top"
    parser.add_argument(
        "--labels", action="append", default=[], metavar="LABEL", help=labels_help
    )
    parser.add_argument("--output", required=True, metavar="FILE.png|svg|pdf")


def _plot(arguments: argparse.Namespace) -> int:
    from pipeline.results.plots import plot_clips

    refuse_beam_flags(arguments)
    clip_ids = plot_clips(
        arguments.dataset,
        arguments.clip,
        arguments.model,
        arguments.output,
        arguments.top,
        arguments.labels,
    )
    print(f"{', '.join(clip_ids)}: {arguments.output}")
    return 0


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        allow_abbrev=False,
        help="write a page that shows the whole dataset",
        description="Writes one page that shows run, failures, labels, clips and a map "
        "of the clips, from the dataset alone. It opens without a network.",
    )
    parser.set_defaults(command=_report)
    parser.add_argument("dataset", metavar="OUT", help="folder of the dataset")
    parser.add_argument("--output", required=True, metavar="FILE.html")


def _report(arguments: argparse.Namespace) -> int:
    from pipeline.results.report.write_report import write_report

    refuse_beam_flags(arguments)
    num_bytes = write_report(arguments.dataset, arguments.output)
    print(f"{arguments.dataset}: {arguments.output} ({num_bytes / 1e6:.1f} MB)")
    return 0


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="score a dataset against a ground truth",
        description="Scores the clips of a dataset against a ground truth: mAP, d', "
        "lwlrap and every class, with 95 % confidence intervals.",
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
    from pipeline.results.evaluation.evaluate import Settings, evaluate
    from pipeline.results.evaluation.evaluation_files import (
        table_lines,
        write_evaluation,
    )
    from transforms import storage

    refuse_beam_flags(arguments)
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


def _add_search(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        allow_abbrev=False,
        help="find the clips nearest to a clip or an audio file",
        description="Finds the clips whose embeddings are nearest, by cosine, to that "
        "of a clip or of an audio file.",
    )
    parser.set_defaults(command=_search)
    parser.add_argument("dataset", metavar="OUT", help="folder of the dataset")
    query = parser.add_mutually_exclusive_group(required=True)
    clip_help = "clip_id, or uri or file name if only one clip has it"
    query.add_argument("--clip", metavar="ID", help=clip_help)
    audio_help = "a file: the dataset's model is run on it"
    query.add_argument("--audio", metavar="FILE", help=audio_help)
    model_help = "needed if the dataset has several, or if the graph has moved"
    parser.add_argument("--model", metavar="NAME|PATH.pb", help=model_help)
    top_help = "how many clips (default: 10)"
    parser.add_argument("--top", type=int, default=10, metavar="N", help=top_help)
    patches_help = "compare every second of the clips, and say which is nearest"
    parser.add_argument("--patches", action="store_true", help=patches_help)
    where_help = "only clips that fit an SQL condition on columns of the ledger"
    parser.add_argument("--where", metavar="CONDITION", help=where_help)
    output_help = "also write what was found"
    parser.add_argument("--output", metavar="FILE.csv|json|parquet", help=output_help)


def _search(arguments: argparse.Namespace) -> int:
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.results.search.search import (
        check_output,
        clip_embedding,
        search,
        table_lines,
        write_found,
    )
    from transforms import storage

    refuse_beam_flags(arguments)
    output = arguments.output
    if output:
        check_output(output)
    given = arguments.model
    graph = given if given and given.endswith(".pb") else None
    snapshot = Snapshot(arguments.dataset, storage.stem(graph) if graph else given)
    own_id = None
    if arguments.clip is not None:
        own_id, query = clip_embedding(snapshot, arguments.clip)
    else:
        # Loads Essentia.
        from pipeline.results.search.audio_query import audio_embedding

        query = audio_embedding(snapshot, arguments.audio, graph)
    found = search(
        snapshot, query, arguments.top, own_id, arguments.patches, arguments.where
    )
    unfinished = snapshot.unfinished()
    if unfinished:
        print(f"NOT FINISHED: {unfinished}")
    print("\n".join(table_lines(found)))
    if output:
        write_found(found, output)
        print(f"written to {storage.shown(output)}")
    return 0


def refuse_beam_flags(arguments: argparse.Namespace) -> None:
    """Raises ConfigError if there are any."""
    if arguments.beam_flags:
        raise ConfigError("only extract takes flags for Beam (after --)")
