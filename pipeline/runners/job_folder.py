"""The job folder of a dataset: the permit and graphs of a job, and notes of deaths.

The folder holds the permit of the job (see `transforms.job_control.permit`), the graphs
that it runs and notes of workers that died. A permit exists from before the job is
submitted until the job has ended well. Where there is a permit, workers may still be
running. A local run uses the folder for notes of deaths only.
"""

import collections
import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any

from pipeline.dataset.folder import Dataset
from transforms import storage
from transforms.elements import Failure
from transforms.engines.contract import ModelSpec
from transforms.job_control.deaths import count_deaths, given_up
from transforms.job_control.permit import PERMIT_NAME, Permit
from transforms.storage import StorageError

# A worker writes a ledger file in less time than this after it checked the permit.
_SETTLE_S = 5.0
# Packages that decide the numbers, or how a job and its workers communicate.
_SAME_EVERYWHERE = ("fsd-sinet-beam", "apache-beam", "essentia-tensorflow", "av")


@dataclasses.dataclass(frozen=True)
class JobNote:
    """The content of a permit.

    Attributes:
        job: Name of the job; None once the job may not write any more.
        runner: Name of the runner.
        where: Address of the cluster.
        stopped: Unix time at which the permit was taken away; None before.
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
        """The content of the permit; None if there is no job, or the job ended well."""
        try:
            return JobNote(**json.loads(storage.read_file(self._permit)))
        except StorageError as error:
            if error.kind != "not_found":
                raise
            return None

    def begin(self, note: JobNote, versions: dict[str, str]) -> Permit:
        """Writes the permit: the job may write from now on."""
        assert note.job
        self._write(note)
        return Permit(
            self.uri, note.job, {name: versions[name] for name in _SAME_EVERYWHERE}
        )

    def revoke(self) -> None:
        """Takes the permit away: from now on no worker begins to commit a shard."""
        note = self.note()
        if note and note.job:
            self._write(dataclasses.replace(note, job=None, stopped=time.time()))

    def settle(self) -> None:
        """After a job that did not end well: waits until none of its workers writes.

        Notes of deaths stay.
        """
        self.revoke()
        note = self.note()
        if note and note.stopped is not None:
            left_s = note.stopped + _SETTLE_S - time.time()
            time.sleep(min(max(left_s, 0.0), _SETTLE_S))
            storage.delete_file(self._permit)

    def place_models(self, models: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
        """The models, with copies of local graphs that every worker can read."""
        placed = []
        for spec in models:
            if storage.is_local(spec.graph_path):
                uri = storage.join(self.uri, f"{spec.name}.pb")
                with storage.publish(uri) as file:
                    file.write(spec.graph_file().read_bytes())
                spec = dataclasses.replace(spec, graph_path=uri)
            placed.append(spec)
        return tuple(placed)

    def given_up(self) -> dict[str, Failure]:
        """Failures of the clips that are not tried again, by clip_id."""
        return given_up(self.uri)

    def count_deaths(self) -> collections.Counter[str]:
        """Number of deaths by clip, see `transforms.job_control.deaths`."""
        return count_deaths(self.uri)

    def remove(self) -> None:
        """Removes the folder, after a job that ended well."""
        storage.delete_folder(self.uri)

    def _write(self, note: JobNote) -> None:
        content: dict[str, Any] = dataclasses.asdict(note)
        with storage.publish(self._permit) as file:
            file.write(json.dumps(content).encode("utf-8"))
