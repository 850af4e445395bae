"""Chooses the events that the report lists, and packs them for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.results.events.read_events import reads_stored
from pipeline.results.report.addresses import Folders, shown_uri
from pipeline.results.report.packing import packed, sixteen_bits
from transforms import storage
from transforms.events.settings import DEFAULT_THRESHOLD, EventSettings
from transforms.events.thresholds import Threshold


def has_events(snapshot: Snapshot) -> bool:
    """Whether events are stored, or can be found in stored activations."""
    if not snapshot.parts:
        return False
    is_stored = "events" in snapshot.run["config"]["outputs"]
    return is_stored or snapshot.has_column("patches", "activations")


def settings_in_use(snapshot: Snapshot, settings: EventSettings) -> EventSettings:
    """Returns what counts as an event: the settings, or those of stored events."""
    stored = snapshot.run["identity"].get("events")
    if not stored or not reads_stored(snapshot, settings):
        return settings
    thresholds = {k: Threshold(**v) for k, v in stored["thresholds"].items()}
    labels = settings.labels or tuple(stored["labels"])
    return EventSettings(**{**stored, "thresholds": thresholds, "labels": labels})


def most_certain(table: pa.Table, limit: int) -> pa.Table:
    """Returns at most `limit` events: the most certain one of each label comes first.

    The second one of each label is next, and so on, so that a frequent label leaves
    room for rare ones.

    Args:
        table: Events of a dataset.
        limit: Number of events to keep.

    Returns:
        The events, in the order of `table`.
    """
    if table.num_rows <= limit:
        return table
    names = table["label"].combine_chunks().dictionary_encode()
    labels = names.indices.to_numpy()
    scores = table["score_max"].to_numpy()
    order = np.lexsort((-scores, labels))
    starts = np.searchsorted(labels[order], np.arange(len(names.dictionary)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - starts[labels[order]]
    kept = np.lexsort((-scores, rank))[:limit]
    return table.take(np.sort(kept))


def event_data(
    table: pa.Table,
    labels: Sequence[str],
    limit: int,
    folders: Folders,
    starts: Mapping[str, tuple[float, str]],
) -> dict[str, Any]:
    """Returns the events that the page lists.

    Args:
        table: All events of a model.
        labels: Labels of the model.
        limit: Number of events in the page.
        folders: Folders of the page's files; those of the events are added.
        starts: Uri -> start of the recording on the clock of the recorder, in seconds
            since 1970, and its offset from UTC, such as `+02:00`, or no text.
    """
    chosen = most_certain(table, limit)
    clip_ids = chosen["clip_id"].combine_chunks().dictionary_encode()
    uris = chosen["uri"].combine_chunks().dictionary_encode()
    # The uri of every clip: that of its first event.
    _, first = np.unique(clip_ids.indices.to_numpy(), return_index=True)
    codes = pc.index_in(chosen["label"], value_set=pa.array(labels, pa.string()))
    return {
        "num_all": table.num_rows,
        "clip_ids": clip_ids.dictionary.to_pylist(),
        "file_of_clip": packed(uris.indices.to_numpy()[first].astype(np.uint32)),
        "files": [_file(uri, folders, starts) for uri in uris.dictionary.to_pylist()],
        "clip": packed(clip_ids.indices.to_numpy().astype(np.uint32)),
        "label": packed(codes.to_numpy().astype(np.uint16)),
        "start_s": packed(chosen["start_s"].to_numpy()),
        "end_s": packed(chosen["end_s"].to_numpy()),
        "score": packed(sixteen_bits(chosen["score_max"].to_numpy())),
    }


def _file(
    uri: str, folders: Folders, starts: Mapping[str, tuple[float, str]]
) -> list[Any]:
    """Returns folder, name, uri without signature, start of the recording and offset.

    The uri is None if it is the path of the file: folder and name. The start is None if
    it is not known.
    """
    local_s, offset = starts.get(uri, (None, ""))
    unsigned = storage.unsigned(uri)
    shown = None if unsigned == shown_uri(uri) else unsigned
    return [*folders.split(uri), shown, local_s, offset]


def settings_text(settings: EventSettings) -> str:
    """Says in words what counts as an event."""
    threshold = settings.threshold
    if threshold is None and not settings.thresholds:
        threshold = DEFAULT_THRESHOLD
    parts = [] if threshold is None else [f"threshold {threshold:g}"]
    if settings.thresholds:
        parts.append(f"thresholds of {len(settings.thresholds)} labels from a file")
    if settings.low is not None:
        parts.append(f"low threshold {settings.low:g}")
    for name in ("smooth_s", "merge_gap_s", "min_duration_s"):
        if value := getattr(settings, name):
            parts.append(f"{name.removesuffix('_s').replace('_', ' ')} {value:g} s")
    if settings.leaves:
        parts.append("most special labels only")
    if settings.bounds != EventSettings.bounds:
        parts.append(f"bounds {settings.bounds}")
    if settings.labels:
        parts.append(f"labels {', '.join(settings.labels)}")
    return ", ".join(parts)
