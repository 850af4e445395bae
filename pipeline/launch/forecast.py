"""Predicts the duration of clips from the names and sizes of their files.

Shards of equal work keep all workers busy until the end of a run. A rough prediction
is enough, because a free worker takes the next shard. Measuring the durations would
mean opening every file, which is slow for a million files.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms import storage
from transforms.manifest import FILE_FOUND_COLUMN, FILE_SIZE_COLUMN

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
# The suffix of a path, with the character before it.
_END_OF_NAME = r"(?P<end>[^/.]?\.+[^./]*)$"
# Opening a file takes about as long as processing this much audio.
_MIN_S = 0.1
# The size of a file on the web is unknown until the file is read.
_UNKNOWN_S = 10.0


def predict_audio_s(pending: pa.Table) -> npt.NDArray[np.float64]:
    """Predicts the seconds of audio of each clip.

    Args:
        pending: Rows of the manifest, with the columns `uri` and FILE_FIELDS, and
            `start_s` and `end_s` if there are excerpts.

    Returns:
        float64 [number of rows].
    """
    num_bytes = pc.fill_null(pending[FILE_SIZE_COLUMN], 0).to_numpy()
    files_s = np.maximum(_MIN_S, num_bytes / _by_suffix(pending["uri"], _rate))
    files_s[np.asarray(pc.is_null(pending[FILE_FOUND_COLUMN]))] = _UNKNOWN_S
    if "start_s" not in pending.column_names:
        return files_s
    start_s = pc.fill_null(pending["start_s"], 0.0).to_numpy()
    # An excerpt without an end goes to the end of the file.
    end_s = pc.coalesce(pending["end_s"], pa.array(files_s)).to_numpy()
    return np.maximum(_MIN_S, end_s - start_s)


def longest_audio_s(
    uris: pa.ChunkedArray, predicted_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The most seconds of audio that each clip may have, if well compressed.

    Args:
        uris: Paths or uris of the clips.
        predicted_s: Result of `predict_audio_s` for them.
    """
    return predicted_s * _by_suffix(uris, lambda uri: _MOST[_rate(uri)])


def _by_suffix(
    uris: pa.ChunkedArray, value_of: Callable[[str], int]
) -> npt.NDArray[np.int64]:
    """A value for each uri that depends on the suffix of its file only.

    Args:
        uris: Paths or uris. There may be millions, but with few suffixes.
        value_of: Gives the value of a file name or uri.
    """
    names = pc.struct_field(pc.extract_regex(uris, _END_OF_NAME), "end")
    # The name of a URL may have escapes, and a query follows it.
    names = pc.if_else(storage.are_urls(uris), uris, pc.fill_null(names, ""))
    kinds = pc.unique(names)
    values = np.array([value_of(name) for name in kinds.to_pylist()], np.int64)
    return values[np.asarray(pc.index_in(names, value_set=kinds))]


def _rate(uri: str) -> int:
    return _BYTES_PER_SECOND.get(storage.suffix(uri).lower(), _LOSSY)
