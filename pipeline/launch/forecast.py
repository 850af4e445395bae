"""Predicts the duration of clips from the names and sizes of their files.

Shards of equal work keep all workers busy until the end of a run. A rough prediction
is enough, because a free worker takes the next shard. Measuring the durations would
mean opening every file, which is slow for a million files.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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
# Seconds that a file may hold for each predicted second. FFmpeg's encoder stores
# digital silence (44.1 kHz mono) in 132 bytes a second as FLAC; Opus has 6 kbit/s or
# more.
_MOST = {_UNCOMPRESSED: 1, _LOSSLESS: 450, _LOSSY: 22}
# Opening a file takes about as long as processing this much audio.
_MIN_S = 0.1
# The size of a file on the web is unknown until the file is read.
_UNKNOWN, _UNKNOWN_S = -1, 10.0


def predict_audio_s(
    pending: pa.Table, sizes: Mapping[str, int | None]
) -> npt.NDArray[np.float64]:
    """Predicts the seconds of audio of each clip.

    Args:
        pending: Rows of the manifest, with the column `uri`, and `start_s` and `end_s`
            if there are excerpts.
        sizes: Sizes in bytes by uri; None for a file that does not exist, no entry for
            an unknown size.

    Returns:
        float64 [number of rows].
    """
    uris = pending["uri"].to_pylist()
    files_s = np.array([_predict(uri, sizes.get(uri, _UNKNOWN)) for uri in uris], float)
    if "start_s" not in pending.column_names:
        return files_s
    start_s = pc.fill_null(pending["start_s"], 0.0).to_numpy()
    # An excerpt without an end goes to the end of the file.
    end_s = pc.coalesce(pending["end_s"], pa.array(files_s)).to_numpy()
    return np.maximum(_MIN_S, end_s - start_s)


def _predict(uri: str, num_bytes: int | None) -> float:
    if num_bytes == _UNKNOWN:
        return _UNKNOWN_S
    return max(_MIN_S, (num_bytes or 0) / _rate(uri))


def _rate(uri: str) -> int:
    return _BYTES_PER_SECOND.get(storage.suffix(uri).lower(), _LOSSY)


def longest_audio_s(
    uris: Sequence[str], predicted_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The most seconds of audio that each clip may have, if well compressed.

    Args:
        uris: Paths or uris of the clips.
        predicted_s: Result of `predict_audio_s` for them.
    """
    return predicted_s * np.array([_MOST[_rate(uri)] for uri in uris])
