"""Writes the most certain events of each label as WAV files, to listen to."""

import csv
import io
import re
import wave
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.results.events.read_events import DatasetEvents
from transforms import storage
from transforms.decoding.excerpts import ExcerptReader
from transforms.decoding.mixing import DecodedAudio
from transforms.decoding.reading import open_audio
from transforms.elements import Clip, ClipError

MANIFEST_NAME = "events.csv"
_COLUMNS = (
    *("uri", "label", "score_max", "clip_id"),
    *("source_uri", "source_start_s", "source_end_s", "correct"),
)


def cut_events(
    events: DatasetEvents, folder: str, num_per_label: int, padding_s: float
) -> list[str]:
    """Writes events as WAV files (mono, 16 bits) and a manifest of them.

    The options were checked by `check_cut`.

    The manifest names the files in its column `uri`, so that `extract` reads it, and
    has an empty column `correct` for the answer of a listener.

    Args:
        events: Events of a dataset.
        folder: Folder to write; its WAV files of the same names are replaced.
        num_per_label: Number of events of each label, those with the highest scores.
        padding_s: Seconds of audio before and after the event.

    Returns:
        A message for every event whose audio cannot be read.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    chosen = choose(events.table, num_per_label)
    written: list[dict[str, Any]] = []
    problems: list[str] = []
    try:
        for row in chosen:
            try:
                audio = _read(row, padding_s)
            except ClipError as error:
                problems.append(str(error))
                continue
            with storage.publish(storage.join(folder, row["name"])) as file:
                file.write(_wav(audio))
            written.append(_manifest_row(row))
        with storage.publish(storage.join(folder, MANIFEST_NAME)) as file:
            file.write(_manifest(written))
    except storage.StorageError as error:
        raise ConfigError(f"cannot write cut events: {error}") from error
    return problems


def check_cut(folder: str, num_per_label: int, padding_s: float) -> None:
    """Checks the options of `cut_events`, before events are found.

    Raises:
        ConfigError: if a number is out of range, or the folder has cut events, perhaps
            with answers of a listener.
    """
    if num_per_label < 1:
        raise ConfigError(f"top is {num_per_label}, expected 1 or more")
    if not 0 <= padding_s < float("inf"):
        raise ConfigError(f"padding is {padding_s:g} s, expected 0 or more")
    try:
        found = storage.look_up(storage.join(folder, MANIFEST_NAME))
    except storage.StorageError as error:
        raise ConfigError(f"cannot write cut events: {error}") from error
    if found is not None:
        raise ConfigError(
            f"{storage.shown(folder)} has an {MANIFEST_NAME}, perhaps with answers; "
            "give another folder for --cut, or remove the file"
        )


def choose(table: pa.Table, num_per_label: int) -> list[dict[str, Any]]:
    """Returns the events with the highest scores of each label, with file names.

    Sorted by uri and start, so that each file is read once, from start to end.
    """
    order = [("label", "ascending"), ("score_max", "descending")]
    rows = table.sort_by([*order, ("uri", "ascending"), ("start_s", "ascending")])
    chosen, label, rank = [], None, 0
    for row in rows.to_pylist():
        rank = rank + 1 if row["label"] == label else 1
        label = row["label"]
        if rank <= num_per_label:
            name = re.sub(r"[^A-Za-z0-9-]+", "_", label).strip("_")
            chosen.append({**row, "name": f"{name}-{rank:03d}.wav"})
    return sorted(chosen, key=lambda row: (row["uri"], row["start_s"]))


def _read(row: dict[str, Any], padding_s: float) -> DecodedAudio:
    """Reads the audio of an event."""
    clip_id = row["clip_id"]
    start_s, end_s = max(0.0, row["start_s"] - padding_s), row["end_s"] + padding_s
    with (
        open_audio(Clip(clip_id, row["uri"])) as file,
        ExcerptReader(clip_id, file) as reader,
    ):
        return reader.read_seconds(clip_id, start_s, end_s)


def _wav(audio: DecodedAudio) -> bytes:
    samples = np.clip(np.rint(audio.samples * 32768), -32768, 32767)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.sample_rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def _manifest_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uri": row["name"],
        "label": row["label"],
        "score_max": row["score_max"],
        "clip_id": row["name"].removesuffix(".wav"),
        "source_uri": row["uri"],
        "source_start_s": row["start_s"],
        "source_end_s": row["end_s"],
    }


def _manifest(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["uri"]))
    return file.getvalue().encode("utf-8", "backslashreplace")
