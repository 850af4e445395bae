"""Gives clips the start of the recording of their file."""

import contextlib
import dataclasses
from typing import BinaryIO

from transforms.elements import Clip, ClipError
from transforms.recorded_at.choose import TimeSettings, choose
from transforms.recorded_at.chunks import ChunkTimes, times_in_chunks
from transforms.recorded_at.names import time_in_name


def times_of_file(file: BinaryIO, settings: TimeSettings) -> ChunkTimes:
    """Reads the times in the chunks of a file; its position is then the start.

    If the file cannot be read, there are none: the decoder will say why.
    """
    found = ChunkTimes()
    if {"guano", "comment"} & {*settings.sources}:
        with contextlib.suppress(OSError, ClipError):
            found = times_in_chunks(file)
        file.seek(0)
    return found


def with_time(clip: Clip, chunks: ChunkTimes, settings: TimeSettings) -> Clip:
    """Gives a clip the start of its recording and the flags about it.

    Args:
        clip: Clip with the time of the manifest, which may have failed.
        chunks: Times in the chunks of its file.
        settings: Which sources count, in which order.
    """
    stated = {
        "column": clip.recorded_at,
        **chunks._asdict(),
        "name": time_in_name(clip.uri) if "name" in settings.sources else None,
    }
    found = choose(stated, settings)
    return dataclasses.replace(
        clip,
        recorded_at=found.text,
        recorded_at_source=found.source,
        flags=(*clip.flags, *found.flags),
    )
