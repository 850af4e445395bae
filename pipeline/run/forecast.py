"""Predicts how much audio a clip holds, from its file's name and size alone.

Shards of equal work keep every worker busy to the end. A guess is enough for that, as
workers take the next shard when they are free; opening a million files is not cheap.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from transforms import storage

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
# Of files on the web nobody knows the size before they are read.
_UNKNOWN, _UNKNOWN_S = -1, 10.0


def predict_audio_s(
    uris: Sequence[str], sizes: Mapping[str, int | None]
) -> npt.NDArray[np.float64]:
    """Seconds of audio that each file probably holds.

    Args:
        uris: Of the files.
        sizes: Their bytes as far as known; None for a file that is not there.

    Returns:
        float64 [len(uris)].
    """
    return np.array([_predict(uri, sizes.get(uri, _UNKNOWN)) for uri in uris], float)


def _predict(uri: str, num_bytes: int | None) -> float:
    if num_bytes == _UNKNOWN:
        return _UNKNOWN_S
    rate = _BYTES_A_SECOND.get(storage.suffix(uri).lower(), _LOSSY)
    return max(_LEAST_S, (num_bytes or 0) / rate)
