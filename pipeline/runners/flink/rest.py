"""FlinkCluster: requests to a Flink cluster through its REST interface.

Beam's own `cancel` says CANCELLED while the job goes on, and Beam's `wait` does not say
why a job makes no progress. The REST interface tells both.
"""

import base64
import collections
import dataclasses
import json
import time
from typing import Any

import urllib3

from pipeline.runners.base import ClusterError, JobState

_TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
# https://nightlies.apache.org/flink/flink-docs-release-1.19/docs/internals/job_scheduling
ENDED = frozenset({"FINISHED", "FAILED", "CANCELED"})

# Name of the accumulator in which Beam's Flink runner keeps all metrics, and the type
# of a counter in it.
_METRICS = "__metricscontainers"
_COUNTER_TYPE = "beam:metric:user:sum_int64:v1"
# Longer than Flink's web.refresh-interval, 3 s by default.
_REFRESH_S = 10.0


class FlinkError(ClusterError):
    """The cluster does not answer, or refuses a request."""


@dataclasses.dataclass(frozen=True)
class FlinkJob(JobState):
    """A job that the cluster lists."""

    job_id: str


class FlinkCluster:
    """A Flink cluster. Every method raises FlinkError if the cluster does not answer.

    Args:
        master: Address of its REST interface, as HOST:PORT or with http(s)://.
    """

    def __init__(self, master: str) -> None:
        self.url = master if "://" in master else f"http://{master}"
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)

    def version(self) -> str:
        return str(self._get("/overview")["flink-version"])

    def free_slots(self) -> int:
        return int(self._get("/overview")["slots-available"])

    def slots_of_task_managers(self) -> list[int]:
        """Slots, free or not, of every TaskManager."""
        found = self._get("/taskmanagers")["taskmanagers"]
        return [manager["slotsNumber"] for manager in found]

    def setting(self, key: str) -> str | None:
        """The value of a key of the cluster's configuration; None for the default."""
        entries = self._get("/jobmanager/config")
        return {entry["key"]: entry["value"] for entry in entries}.get(key)

    def find_job(self, name: str) -> FlinkJob | None:
        """The job with this name; None if the cluster does not list it."""
        for job in self._get("/jobs/overview")["jobs"]:
            if job["name"] == name:
                state = job["state"]
                return FlinkJob(state, state in ENDED, job["jid"])
        return None

    def tasks(self, job_id: str) -> list[tuple[str, collections.Counter[str]]]:
        """For every step of a job: Flink's name, and the number of tasks by state."""
        vertices = self._get(f"/jobs/{job_id}")["vertices"]
        return [(v["name"], collections.Counter(v["tasks"])) for v in vertices]

    def problems(self, job_id: str) -> list[str]:
        """Stack traces of the errors so far, the latest first."""
        found = self._get(f"/jobs/{job_id}/exceptions")
        entries = found.get("exceptionHistory", {}).get("entries", [])
        texts = [entry.get("stacktrace", "") for entry in entries]
        return [text for text in (found.get("root-exception"), *texts) if text]

    def counters(self, job_id: str, namespace: str) -> dict[str, int]:
        """Beam's counters of a job. If the job has ended, waits for the final ones."""
        deadline = time.monotonic() + _REFRESH_S
        if self._job_has_ended(job_id):
            # Flink answers requests for details with copies that are some seconds old.
            while self._get(f"/jobs/{job_id}")["state"] not in ENDED:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
        found = self._get(f"/jobs/{job_id}/accumulators")["user-task-accumulators"]
        values = [entry["value"] for entry in found if entry["name"] == _METRICS]
        counters: collections.Counter[str] = collections.Counter()
        for metric in json.loads(values[0])["metrics"]["attempted"] if values else ():
            labels = metric["labels"]
            if metric["urn"] == _COUNTER_TYPE and labels.get("NAMESPACE") == namespace:
                counters[labels["NAME"]] += _varint(base64.b64decode(metric["payload"]))
        return dict(counters)

    def _job_has_ended(self, job_id: str) -> bool:
        jobs = self._get("/jobs/overview")["jobs"]
        return any(j["jid"] == job_id and j["state"] in ENDED for j in jobs)

    def cancel(self, job_id: str) -> None:
        """Asks the cluster to end a job. The job ends some moments later."""
        self._request("PATCH", f"/jobs/{job_id}?mode=cancel")

    def _get(self, path: str) -> Any:
        return json.loads(self._request("GET", path))

    def _request(self, method: str, path: str) -> bytes:
        try:
            answer = self._pool.request(method, self.url + path)
        except urllib3.exceptions.HTTPError as error:
            raise FlinkError(f"no Flink answers at {self.url}: {error}") from error
        if answer.status >= 400:
            text = answer.data.decode("utf-8", "replace")[:300]
            raise FlinkError(f"{self.url}{path} answers {answer.status}: {text}")
        return answer.data


def _varint(data: bytes) -> int:
    """Decodes a counter: Beam writes seven bits in each byte, the lowest first."""
    return sum((byte & 127) << (7 * index) for index, byte in enumerate(data))
