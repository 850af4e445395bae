"""fsdsinet search: finds the clips that are nearest to a clip or an audio file."""

import argparse
from typing import TYPE_CHECKING

from pipeline.cli.flags.parser import Commands, add_command, add_dataset, whole_number
from pipeline.cli.plot import CLIP_HELP

if TYPE_CHECKING:
    import numpy as np

    from pipeline.dataset.snapshot import Snapshot


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
    parser.add_argument(
        "--model",
        metavar="NAME|PATH.pb",
        help="model whose results are read; needed if the dataset has several models, "
        "or if --audio is given and the graph of the model was moved",
    )
    parser.add_argument(
        "--top",
        type=whole_number,
        default=10,
        metavar="N",
        help="number of clips (default: %(default)s)",
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
        "--output",
        metavar="FILE.csv|json|parquet",
        help="file to write the found clips to; its extension gives the format",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.dataset.snapshot import Snapshot
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
    own_id, query = _query(arguments, snapshot, graph)
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
