"""fsdsinet search: finds the clips that are nearest to a clip or an audio file."""

import argparse
import time
from typing import TYPE_CHECKING

from pipeline.cli.flags.parser import Commands, add_command, add_dataset, whole_number
from pipeline.cli.plot import CLIP_HELP

if TYPE_CHECKING:
    import numpy as np

    from pipeline.dataset.snapshot import Snapshot

_TOP = 10


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "search",
        run,
        "find the clips nearest to a clip or to an audio file",
        "Finds the clips whose embeddings are nearest, by cosine similarity, to the "
        "embedding of a clip or of an audio file.",
    )
    add_dataset(parser)
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--clip", metavar="ID", help=CLIP_HELP)
    query.add_argument(
        "--audio",
        metavar="FILE",
        help="audio file; the model of the dataset is run on it",
    )
    query.add_argument(
        "--build-index",
        action="store_true",
        help="instead of a search, build an index that later searches use; needs "
        "pip install 'fsd-sinet-beam[index]'",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|PATH.pb",
        help="model whose results are read; needed if the dataset has several models, "
        "or if --audio is given and the graph of the model was moved",
    )
    parser.add_argument(
        "--top",
        type=whole_number,
        metavar="N",
        help=f"number of clips (default: {_TOP})",
    )
    parser.add_argument(
        "--patches",
        action="store_true",
        help="compare every patch (about a second) of the clips instead of the mean of "
        "each clip, and show where in a clip its nearest patch starts",
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only clips that fulfil an SQL condition on columns of the ledger",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compare every clip, also if there is an index",
    )
    parser.add_argument(
        "--output",
        metavar="FILE.csv|json|parquet",
        help="file to write the found clips to; its extension gives the format",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    if arguments.build_index:
        return _build_index(arguments)
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.results.search.indexed import usable_index
    from pipeline.results.search.search import (
        check_output,
        search,
        table_lines,
        write_found,
    )
    from transforms import storage

    output = arguments.output
    if output:
        check_output(output)
    given = arguments.model
    graph = given if given and given.endswith(".pb") else None
    snapshot = Snapshot(arguments.dataset, storage.stem(graph) if graph else given)
    top = _TOP if arguments.top is None else arguments.top
    by_patch, where = arguments.patches, arguments.where
    index = None
    if not arguments.exact:
        index = usable_index(snapshot, top, by_patch, where)
    own_id, query = _query(arguments, snapshot, graph)
    found = search(snapshot, query, top, own_id, by_patch, where, index)
    unfinished = snapshot.unfinished()
    if unfinished:
        print(f"NOT FINISHED: {unfinished}")
    print("\n".join(table_lines(found)))
    if output:
        write_found(found, output)
        print(f"written to {storage.shown(output)}")
    return 0


def _build_index(arguments: argparse.Namespace) -> int:
    """Builds the index instead of searching.

    Raises:
        ConfigError: if an option of a search is given.
    """
    from pipeline.console import counted, format_duration
    from pipeline.dataset.folder import Dataset
    from pipeline.errors import ConfigError
    from pipeline.launch.without_runs import without_runs
    from pipeline.results.search.build_index import build_index
    from pipeline.results.search.indexed import RECALL_TOPS, recall_text
    from transforms import storage

    for name in ("top", "patches", "where", "exact", "output"):
        if getattr(arguments, name) not in (None, False):
            raise ConfigError(
                f"--{name} has no effect with --build-index; leave it out"
            )
    start = time.monotonic()
    dataset = Dataset(arguments.dataset)
    dataset.existing_run()
    with without_runs(dataset):
        built = build_index(dataset, arguments.model)
    print(
        f"indexed {counted(built.num_clips)} in "
        f"{format_duration(time.monotonic() - start)}: {built.num_bytes / 1e6:,.1f} MB "
        f"in {storage.shown(built.folder)}"
    )
    for top in RECALL_TOPS:
        print(f"{recall_text(built.record, top)} ({counted(built.num_queries)} asked)")
    return 0


def _query(
    arguments: argparse.Namespace, snapshot: "Snapshot", graph: str | None
) -> tuple[str | None, "np.ndarray"]:
    """Returns the clip_id (None for an audio file) and the embedding to search for."""
    if arguments.clip is not None:
        from pipeline.results.search.search import clip_embedding

        return clip_embedding(snapshot, arguments.clip)
    # This module loads Essentia.
    from pipeline.results.search.audio_query import audio_embedding

    return None, audio_embedding(snapshot, arguments.audio, graph)
