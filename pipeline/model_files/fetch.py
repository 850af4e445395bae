"""Fetches a published model into the models folder, and checks it before it is used."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from pipeline.console import DownloadLine
from pipeline.errors import ConfigError
from pipeline.model_files.resumable_download import LIMITS, discard, download
from transforms.errors import UserError
from transforms.models.loading import read_metadata, read_model
from transforms.models.registry import RegisteredModel, hash_problem
from transforms.storage import Limits

Source = str | pathlib.Path


def fetch_model(
    model: RegisteredModel,
    folder: pathlib.Path,
    source: str | None = None,
    limits: Limits | None = None,
) -> pathlib.Path:
    """Copies or downloads the .pb and .json of a model, unless both are there already.

    A .pb must have the registered hash. The hash of a .json is not known, but the .json
    must fit the graph; if the source has none, the defaults of `read_model` apply. The
    files get their final names after these checks, the .pb last.

    Args:
        model: A published model; bundled models are refused.
        folder: Folder for the files; created if needed.
        source: Local folder, or URL of a folder, with the files; None for the URLs of
            the registry.
        limits: Limits of the downloads; None for the usual ones.

    Returns:
        Path of the .pb.

    Raises:
        ConfigError: if the model cannot be fetched, or `folder` cannot be written.
    """
    sources = _sources(model, source)
    graph = folder.absolute() / f"{model.name}.pb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{model.name}.lock"):
            _fetch_missing(model, graph, sources, limits or LIMITS)
    except OSError as error:
        raise ConfigError(
            f"cannot fetch {model.name} to {folder}: {error}; free space there, or "
            "set FSDSINET_MODELS to a folder that can be written"
        ) from error
    return graph


def _sources(model: RegisteredModel, source: str | None) -> tuple[Source, Source]:
    """Returns the sources of the .pb and the .json: URLs or paths."""
    if model.weights_url is None or model.metadata_url is None:
        raise ConfigError(
            f"model {model.name} is part of fsd-sinet-beam: nothing to fetch"
        )
    if source is None:
        return model.weights_url, model.metadata_url
    names = (f"{model.name}.pb", f"{model.name}.json")
    if source.startswith(("http://", "https://")):
        weights, metadata = (f"{source.rstrip('/')}/{name}" for name in names)
        return weights, metadata
    folder = pathlib.Path(source)
    if not folder.is_dir():
        raise ConfigError(
            f"no folder {source!r}: expected a folder or an http(s) address "
            f"with {names[0]} and {names[1]} in it"
        )
    return folder / names[0], folder / names[1]


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Waits until no other process is fetching the model."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another fetch of the same model to end ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_missing(
    model: RegisteredModel,
    graph: pathlib.Path,
    sources: tuple[Source, Source],
    limits: Limits,
) -> None:
    metadata = graph.with_suffix(".json")
    has_graph = graph.is_file() and not hash_problem(model, graph)
    if has_graph and metadata.is_file() and not _misfit(graph, graph, metadata):
        _say(f"{graph} and {metadata.name} are up to date: nothing to fetch")
        return
    new_graph = _part(graph)
    if not has_graph:
        _fetch_graph(model, sources[0], new_graph, limits)
    _fetch_metadata(metadata, graph if has_graph else new_graph, sources[1], limits)
    if not has_graph:
        _install(new_graph, graph)


def _misfit(
    graph: pathlib.Path, graph_file: pathlib.Path, metadata_file: pathlib.Path
) -> str | None:
    """Says why metadata does not fit a graph; None if it fits.

    Args:
        graph: Final path of the graph.
        graph_file: File that holds the graph now.
        metadata_file: File that holds the metadata now.
    """
    try:
        read_model(graph, graph_file.read_bytes(), read_metadata(metadata_file))
    except UserError as error:
        return str(error)
    return None


def _fetch_graph(
    model: RegisteredModel, source: Source, part: pathlib.Path, limits: Limits
) -> None:
    if part.is_file() and not hash_problem(model, part):
        return
    if not _copy_or_download(source, part, limits):
        raise ConfigError(
            f"model {model.name} is not at {source}; give another folder or address "
            "that has it with --from"
        )
    problem = hash_problem(model, part)
    if problem:
        discard(part)
        raise ConfigError(
            f"{source} is not the model {model.name}: {problem}; the copy was "
            "removed; try again, or give another source with --from"
        )


def _fetch_metadata(
    metadata: pathlib.Path, graph_file: pathlib.Path, source: Source, limits: Limits
) -> None:
    part = _part(metadata)
    discard(part)
    is_new = _copy_or_download(source, part, limits)
    used = part if is_new else metadata
    misfit = _misfit(metadata.with_suffix(".pb"), graph_file, used)
    if misfit:
        discard(part)
        where = source if is_new else metadata
        raise ConfigError(f"the metadata of {where} cannot be used: {misfit}")
    if is_new:
        _install(part, metadata)
    elif not metadata.is_file():
        _say(
            f"no metadata at {source}: the model is assumed to have the classes and "
            "the layout of the published models"
        )


def _copy_or_download(source: Source, part: pathlib.Path, limits: Limits) -> bool:
    """Returns False if there is no such file."""
    if isinstance(source, pathlib.Path):
        if not source.is_file():
            return False
        discard(part)
        shutil.copyfile(source, part)
        return True
    _say(f"downloading {source}")
    line = DownloadLine(source.rpartition("/")[2])
    try:
        return download(source, part, limits, line.update)
    finally:
        line.close()


def _part(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.part")


def _install(part: pathlib.Path, final: pathlib.Path) -> None:
    """Gives a checked file its final name, after its bytes are on the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, final)
    discard(part)
    _say(f"{final}: {final.stat().st_size / 1e6:,.2f} MB")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
