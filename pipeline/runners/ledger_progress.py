"""LedgerWatch: follows a job on a cluster by the files that it commits."""

import time

import pyarrow.compute as pc

from pipeline.console import counted
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import together
from transforms import storage
from transforms.job_control.status import WorkerStatus
from transforms.recordings.unfinished import num_done_segments

_INTERVAL_S = 2.0


class LedgerWatch:
    """Totals of the ledger files that appear after this object was made."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._seen = set(dataset.parts("ledger"))
        self._next = 0.0
        self._num_segments = 0
        self.total = WorkerStatus()

    def note(self, state: str) -> str:
        """The state of the job, and the segments of recordings that are not committed.

        Args:
            state: State of the job as its cluster names it.
        """
        text = f"job {state.lower()}"
        if self._num_segments:
            segments = counted(self._num_segments, "segment", "segments")
            text += f", {segments} of recordings in hand done"
        return text

    def poll(self) -> WorkerStatus:
        """Clips, patches and seconds of audio in these files."""
        start = time.monotonic()
        if start < self._next:
            return self.total
        new = [uri for uri in self._dataset.parts("ledger") if uri not in self._seen]
        if new:
            self._add(new)
        self._num_segments = num_done_segments(self._dataset.root)
        # Listing a bucket with many files is slow. It may take a tenth of the time.
        self._next = time.monotonic() + max(
            _INTERVAL_S, 10 * (time.monotonic() - start)
        )
        return self.total

    def _add(self, parts: list[str]) -> None:
        columns = ["status", "num_patches", "duration_s"]
        names = map(storage.file_name, parts)
        rows = together(self._dataset.files.read_each("ledger", names, columns))
        self._seen.update(parts)
        total = self.total
        total.clips_done += rows.num_rows
        total.clips_failed += pc.sum(pc.equal(rows["status"], "failed")).as_py() or 0
        total.num_patches += pc.sum(rows["num_patches"]).as_py() or 0
        total.audio_s += pc.sum(rows["duration_s"]).as_py() or 0.0
