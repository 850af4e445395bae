"""The job folder of a dataset: which cluster job writes there, if one does.

It holds the permit of the job (see `transforms.workers.permit`), the graphs it runs and
notes of workers that died. It is there from before the job is submitted until it has
ended well; so whoever finds one knows that workers may still be at work.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any

from pipeline.dataset.folder import Dataset
from transforms import storage
from transforms.engines.contract import ModelSpec
from transforms.storage import StorageError
from transforms.workers.permit import PERMIT_NAME, Permit, given_up

# A worker writes a ledger file in less time than this after it was allowed to.
SETTLE_S = 5.0
# What decides the numbers, and how jobs and workers understand each other.
_SAME_EVERYWHERE = ("fsd-sinet-beam", "apache-beam", "essentia-tensorflow", "av")


@dataclasses.dataclass(frozen=True)
class JobNote:
    """What the permit says beside the name of the job.

    Attributes:
        job: Its name; None once it may not write any more.
        runner: Where it runs.
        where: Address of the cluster.
        stopped: When the permit was taken away, Unix time.
    """

    job: str | None
    runner: str
    where: str
    stopped: float | None = None


class JobFolder:
    """The folder `job` of a dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self.uri = dataset.file("job", "").rstrip("/")
        self._permit = storage.join(self.uri, PERMIT_NAME)

    def note(self) -> JobNote | None:
        """None if no job was started, or the last one ended well."""
        try:
            return JobNote(**json.loads(storage.read_file(self._permit)))
        except StorageError as error:
            if error.kind != "not_found":
                raise
            return None

    def begin(self, note: JobNote, versions: dict[str, str]) -> Permit:
        """Lets a job write from now on."""
        assert note.job
        self._write(note)
        return Permit(
            self.uri, note.job, {name: versions[name] for name in _SAME_EVERYWHERE}
        )

    def revoke(self) -> None:
        """From now on nothing is committed; what is being written is, in a moment."""
        note = self.note()
        if note and note.job:
            self._write(dataclasses.replace(note, job=None, stopped=time.time()))

    def settle(self) -> None:
        """After a job that did not end well: waits until none of its workers writes.

        What is known of clips that took workers down stays.
        """
        self.revoke()
        note = self.note()
        if note and note.stopped is not None:
            left_s = note.stopped + SETTLE_S - time.time()
            time.sleep(min(max(left_s, 0.0), SETTLE_S))
            storage.delete_file(self._permit)

    def place_models(self, models: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
        """The models with graphs that every worker can read."""
        placed = []
        for spec in models:
            if storage.is_local(spec.graph_path):
                uri = storage.join(self.uri, f"{spec.name}.pb")
                with storage.publish(uri) as file:
                    file.write(spec.graph_file().read_bytes())
                spec = dataclasses.replace(spec, graph_path=uri)
            placed.append(spec)
        return tuple(placed)

    def given_up(self) -> dict[str, str]:
        """Clips that took several workers down, with why."""
        return given_up(self.uri)

    def remove(self) -> None:
        """After a job that ended well."""
        for info in storage.list_files(self.uri, recursive=True, hidden=True):
            storage.delete_file(info.uri)
            folder = storage.folder_of(info.uri)
            storage.prune_folder(folder, storage.folder_of(self.uri))

    def _write(self, note: JobNote) -> None:
        content: dict[str, Any] = dataclasses.asdict(note)
        with storage.publish(self._permit) as file:
            file.write(json.dumps(content).encode("utf-8"))
