"""Names of the files of recordings that are not finished yet; see UnfinishedRecording.

Readers of a dataset need the names, and nothing that decodes audio.
"""

import re

UNFINISHED_FOLDER = "unfinished"
RECORDING_NAME = "recording.json"
SEGMENT = re.compile(r"segment-(\d{5})\.parquet")
SAMPLES = re.compile(r"samples-(\d{5})\.f32")
# As `shard_name` makes it.
_FOLDER = re.compile(r"[0-9a-f]{20}")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


def segment_name(index: int) -> str:
    """Name of the file with the results of a segment."""
    return f"segment-{index:05d}.parquet"


def samples_name(index: int) -> str:
    """Name of the file with the samples of a segment."""
    return f"samples-{index:05d}.f32"


def is_recording_folder(name: str) -> bool:
    """Whether a folder in UNFINISHED_FOLDER may be that of a recording."""
    return bool(_FOLDER.fullmatch(name))


def is_unfinished_file(name: str) -> bool:
    """Whether UnfinishedRecording has written a file with this name."""
    patterns = (SEGMENT, SAMPLES, _TEMPORARY)
    return name == RECORDING_NAME or any(p.fullmatch(name) for p in patterns)
