"""Predicts the duration of clips from the names and sizes of their files.

Shards of equal work keep all workers busy until the end of a run. A rough prediction
is enough, because a free worker takes the next shard. Measuring the durations would
mean opening every file, which is slow for a million files.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from transforms import storage

# Bytes per second of audio as it is usually stored: 16 bits at 44.1 kHz in one channel
# without compression, two thirds of this with lossless compression, and 128 kbit/s in
# all other formats.
_UNCOMPRESSED, _LOSSLESS, _LOSSY = 88_200, 58_800, 16_000
_BYTES_PER_SECOND = {
    **dict.fromkeys((".aif", ".aifc", ".aiff", ".au", ".caf", ".snd"), _UNCOMPRESSED),
    **dict.fromkeys((".w64", ".wav", ".wave"), _UNCOMPRESSED),
    **dict.fromkeys((".ape", ".flac", ".tta", ".wv"), _LOSSLESS),
}
# Opening a file takes about as long as processing this much audio.
_MIN_S = 0.1
# The size of a file on the web is unknown until the file is read.
_UNKNOWN, _UNKNOWN_S = -1, 10.0


def predict_audio_s(
    uris: Sequence[str], sizes: Mapping[str, int | None]
) -> npt.NDArray[np.float64]:
    """Predicts the seconds of audio in each file.

    Args:
        uris: Uris of the files.
        sizes: Sizes in bytes by uri; None for a file that does not exist, no entry for
            an unknown size.

    Returns:
        float64 [len(uris)].
    """
    return np.array([_predict(uri, sizes.get(uri, _UNKNOWN)) for uri in uris], float)


def _predict(uri: str, num_bytes: int | None) -> float:
    if num_bytes == _UNKNOWN:
        return _UNKNOWN_S
    rate = _BYTES_PER_SECOND.get(storage.suffix(uri).lower(), _LOSSY)
    return max(_MIN_S, (num_bytes or 0) / rate)
