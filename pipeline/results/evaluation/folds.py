"""Divides clips into folds, and finds audio that two sets of clips share."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError

# The file of a clip, and the part of the file in seconds.
Audio = tuple[str, float, float]


def read_audio(snapshot: Snapshot) -> dict[str, Audio]:
    """Returns clip_id -> its file, and the part of the file."""
    times = ["start_s", "end_s"] if snapshot.has_excerpts() else []
    ledger = snapshot.ledger(["clip_id", "uri", *times])
    rows = zip(*(column.to_pylist() for column in ledger.columns), strict=True)
    audio = {}
    for clip_id, uri, *part in rows:
        start, end = part or (None, None)
        audio[clip_id] = (uri, start or 0.0, math.inf if end is None else end)
    return audio


def first_shared(one: Mapping[str, Audio], other: Mapping[str, Audio]) -> str | None:
    """Returns a clip of either set whose audio overlaps a clip of the other set.

    Args:
        one: clip_id -> its audio.
        other: The same, of the other set.

    Returns:
        The clip_id; None if the sets share no audio.
    """
    rows = [
        (*audio, is_other, clip_id)
        for is_other, clips in enumerate((one, other))
        for clip_id, audio in clips.items()
    ]
    file, ends = "", [0.0, 0.0]
    for uri, start, end, is_other, clip_id in sorted(rows):
        if uri != file:
            file, ends = uri, [0.0, 0.0]
        if start < ends[1 - is_other]:
            return clip_id
        ends[is_other] = max(ends[is_other], end)
    return None


def assign_folds(
    truth: np.ndarray, files: Sequence[str], num_folds: int, seed: int
) -> np.ndarray:
    """Divides clips into folds that have about the same share of every label.

    All clips of a file are in one fold: parts of one recording are alike. Files are
    sorted by their rarest label, in random order within a label, and dealt to the folds
    in turn. So each fold has the same number, plus or minus one, of the files whose
    rarest label is the same.

    Args:
        truth: Whether a clip has a label, bool [num_clips, num_classes].
        files: File of each clip.
        num_folds: Number of folds.
        seed: Seed of the random order.

    Returns:
        Number of each clip's fold, int [num_clips].

    Raises:
        ConfigError: if there are fewer files than folds.
    """
    names, file_of = np.unique(np.array(files, object), return_inverse=True)
    if not 2 <= num_folds <= len(names):
        raise ConfigError(
            f"number of folds is {num_folds}, expected 2 to {len(names):,} (the number "
            "of files with results); change --cross-validate"
        )
    has_label = np.zeros((len(names), truth.shape[1]), bool)
    np.logical_or.at(has_label, file_of, truth)
    counts = np.where(has_label, has_label.sum(axis=0), len(names) + 1)
    # Files without a label come last, as if they all had one more label.
    rarest = np.where(has_label.any(axis=1), counts.argmin(axis=1), truth.shape[1])
    order = np.lexsort(
        (np.random.default_rng(seed).random(len(names)), rarest, counts.min(axis=1))
    )
    folds = np.empty(len(names), int)
    folds[order] = np.arange(len(names)) % num_folds
    return folds[file_of]
