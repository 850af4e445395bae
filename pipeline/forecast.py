"""Predicts how much audio a clip holds, from its file's name and size alone.

Shards of equal work keep every worker busy to the end. A guess is enough for that, as
workers take the next shard when they are free; opening a million files is not cheap.
"""

import os

import numpy as np
import numpy.typing as npt

# Bytes of a second of audio as people usually store it: 16 bits at 44.1 kHz in one
# channel, two thirds of that without loss, and 128 kbit/s for all other formats.
_UNCOMPRESSED, _LOSSLESS, _LOSSY = 88_200, 58_800, 16_000
_BYTES_A_SECOND = {
    **dict.fromkeys((".aif", ".aifc", ".aiff", ".au", ".caf", ".snd"), _UNCOMPRESSED),
    **dict.fromkeys((".w64", ".wav", ".wave"), _UNCOMPRESSED),
    **dict.fromkeys((".ape", ".flac", ".tta", ".wv"), _LOSSLESS),
}
# Opening a file takes as long as this much audio.
_LEAST_S = 0.1


def file_size(path: str) -> int | None:
    """Bytes of a local file; None if there is none, or it cannot be seen."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return None


def predict_audio_s(uris: list[str]) -> npt.NDArray[np.float64]:
    """Seconds of audio that each file probably holds: float64 [len(uris)]."""
    return np.array([_predict(uri) for uri in uris], np.float64)


def _predict(uri: str) -> float:
    suffix = os.path.splitext(uri)[1].lower()
    num_bytes = file_size(uri) or 0
    return max(_LEAST_S, num_bytes / _BYTES_A_SECOND.get(suffix, _LOSSY))
