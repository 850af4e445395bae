"""The folder of a recording that is not finished yet: what is known, what is computed.

    OUT/unfinished/<shard_id>/recording.json          result of the first pass
    OUT/unfinished/<shard_id>/samples-00012.f32       samples of a segment, see below
    OUT/unfinished/<shard_id>/segment-00012.parquet   results of a segment

A file appears when it is complete. A segment with results is done, also after the run
was killed. The folder is removed when the recording has its row in the ledger.

Some formats can be decoded from the start only, and some rates are slow to resample.
The first pass then keeps the samples of each segment, until the segment has results.
"""

import json
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms import storage
from transforms.elements import FloatArray, Prediction
from transforms.recordings.measure import Recording
from transforms.recordings.unfinished_files import (
    RECORDING_NAME,
    SAMPLES,
    SEGMENT,
    UNFINISHED_FOLDER,
    is_unfinished_file,
    samples_name,
    segment_name,
)
from transforms.storage import StorageError
from transforms.tables import write_table

# Largest size of the samples that are kept of all recordings of a dataset.
MAX_KEPT_BYTES = 20 * 10**9
_MATRICES = ("activations", "embeddings")
_SILENT = "is_silent"


class UnfinishedRecording:
    """The folder of one recording.

    Args:
        output: Folder of the dataset.
        shard_id: Name of the shard with this recording alone.
    """

    def __init__(self, output: str, shard_id: str) -> None:
        self._root = storage.join(output, UNFINISHED_FOLDER)
        self.folder = storage.join(self._root, shard_id)

    def read_recording(self) -> Recording | None:
        """The result of an earlier first pass; None if there is none."""
        try:
            values = json.loads(storage.read_file(self._file(RECORDING_NAME)))
            return Recording.from_json(values)
        except (StorageError, TypeError, ValueError, KeyError):
            return None

    def write_recording(self, recording: Recording) -> None:
        with storage.publish(self._file(RECORDING_NAME)) as file:
            file.write(json.dumps(recording.as_json()).encode())

    def done(self) -> set[int]:
        """Indices of the segments that have results."""
        names = map(SEGMENT.fullmatch, storage.list_names(self.folder))
        return {int(name[1]) for name in names if name}

    def write_results(
        self, index: int, predictions: Mapping[str, Prediction], is_silent: bool
    ) -> None:
        """Writes the results of a segment, and removes its samples.

        Args:
            index: Number of the segment.
            predictions: By name of the model, in the order of the dataset's models.
            is_silent: Whether all frames are silent.
        """
        columns = {}
        for number, prediction in enumerate(predictions.values()):
            matrices = (prediction.activations, prediction.embeddings)
            for name, values in zip(_MATRICES, matrices, strict=True):
                kind = pa.list_(pa.float32(), values.shape[1])
                column = pa.FixedSizeListArray.from_arrays(values.ravel(), type=kind)
                columns[f"{name}_{number}"] = column
        table = pa.table(columns)
        table = table.replace_schema_metadata({_SILENT: str(int(is_silent))})
        write_table(self._results_file(index), table)
        storage.delete_file(self._samples_file(index))

    def read_prediction(self, index: int, model: int) -> Prediction:
        """The prediction of a model for a segment.

        Args:
            index: Number of the segment.
            model: Number of the model, in the order of the dataset's models.
        """
        names = [f"{name}_{model}" for name in _MATRICES]
        with storage.open_arrow(self._results_file(index)) as file:
            table = pq.ParquetFile(file).read(columns=names)
        return Prediction(*(_matrix(table[name]) for name in names))

    def is_silent(self, index: int) -> bool:
        """Whether all frames of a segment are silent."""
        with storage.open_arrow(self._results_file(index)) as file:
            return pq.read_schema(file).metadata[_SILENT.encode()] == b"1"

    def read_samples(self, index: int) -> FloatArray | None:
        """The samples of a segment that the first pass kept; None if it kept none."""
        try:
            data = storage.read_file(self._samples_file(index))
        except StorageError:
            return None
        return np.frombuffer(data, np.float32)

    def kept(self) -> set[int]:
        """Indices of the segments of which samples are kept."""
        names = map(SAMPLES.fullmatch, storage.list_names(self.folder))
        return {int(name[1]) for name in names if name}

    def write_samples(self, index: int, samples: FloatArray) -> None:
        with storage.publish(self._samples_file(index)) as file:
            file.write(np.ascontiguousarray(samples).data)

    def num_kept_bytes(self) -> int:
        """Bytes of the samples that are kept of all recordings of the dataset."""
        return sum(
            info.size_bytes or 0
            for info in storage.list_files(self._root, recursive=True)
            if SAMPLES.fullmatch(storage.file_name(info.uri))
        )

    def forget_samples(self) -> None:
        """Removes the samples that were kept."""
        self._remove(lambda name: bool(SAMPLES.fullmatch(name)))

    def remove(self) -> None:
        """Removes the folder, results last: without them the recording begins anew."""
        self._remove(lambda name: name == RECORDING_NAME)
        self._remove(is_unfinished_file)
        # The parent stays, because another worker may be making a folder in it.
        storage.prune_folder(self.folder, self._root)

    def _remove(self, is_chosen: Callable[[str], bool]) -> None:
        for info in storage.list_files(self.folder, hidden=True):
            if is_chosen(storage.file_name(info.uri)):
                storage.delete_file(info.uri)

    def _file(self, name: str) -> str:
        return storage.join(self.folder, name)

    def _results_file(self, index: int) -> str:
        return self._file(segment_name(index))

    def _samples_file(self, index: int) -> str:
        return self._file(samples_name(index))


def num_done_segments(output: str) -> int:
    """Number of segments with results, of all recordings that are not finished.

    Args:
        output: Folder of the dataset.
    """
    files = storage.list_files(storage.join(output, UNFINISHED_FOLDER), recursive=True)
    return sum(bool(SEGMENT.fullmatch(storage.file_name(f.uri))) for f in files)


def _matrix(column: pa.ChunkedArray) -> FloatArray:
    values: FloatArray = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), -1)
