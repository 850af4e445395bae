"""Runs a real Flink cluster on this machine: a JobManager and TaskManagers.

The cluster is for tests, and to try jobs before there is a larger cluster. Run `make
flink` first: it fetches Flink and builds Beam's job server. `python -m deploy.flink`
starts and stops a cluster by hand.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import urllib3
import yaml

from pipeline.runners.flink.jvm import SMALL_JVM

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLINK = ROOT / "build" / "flink" / "flink-1.19.3"
JOB_SERVER = ROOT / "build" / "flink" / "job-server.jar"

# Only the loopback interface is used. Port 0 is any free port, so that several clusters
# can run at the same time.
_NETWORK = {
    "jobmanager.rpc.address": "localhost",
    "jobmanager.rpc.port": 0,
    "jobmanager.bind-host": "localhost",
    "taskmanager.host": "localhost",
    "taskmanager.bind-host": "localhost",
    "rest.address": "localhost",
    "rest.bind-address": "localhost",
}
# All of these must be set; Flink's start scripts would compute them from the size of
# the machine. The sizes are enough for jobs that keep their data in the workers.
_MEMORY = {
    "taskmanager.cpu.cores": 1.0,
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "256m",
    "taskmanager.memory.task.off-heap.size": "0",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
}
_JOB_MANAGER_JVM = ("-Xmx384m",)
# The heap size covers framework and task heap; the direct memory covers framework
# off-heap and network memory.
_TASK_MANAGER_JVM = ("-Xmx384m", "-XX:MaxDirectMemorySize=192m")
# Times without a unit are milliseconds. With these settings Flink notices the loss of a
# TaskManager in 8 s (by default 50 s) and does its work again. All restart attempts
# together must last longer than the heartbeat timeout: until then Flink sends work to
# the lost TaskManager. With a delay of 1 s a job failed after three such attempts.
_FAULTS = {
    "heartbeat.interval": 2_000,
    "heartbeat.timeout": 8_000,
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 3,
    "restart-strategy.fixed-delay.delay": "3 s",
    # A job that requests more slots than exist fails after this time (default 300 s).
    "slot.request.timeout": 20_000,
    # Flink keeps the jar of every job, 163 MB, for this time in seconds (default an
    # hour).
    "blob.service.cleanup.interval": 5,
}
SETTINGS: Mapping[str, Any] = {
    **_NETWORK,
    **_MEMORY,
    **_FAULTS,
    # With one slot per TaskManager every slot gets its own worker process.
    "taskmanager.numberOfTaskSlots": 1,
}
_LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""
# Packages of Java 17 that Flink needs to access by reflection.
_OPENED = (
    "lang lang.reflect net io nio text time "
    "util util.concurrent util.concurrent.atomic util.concurrent.locks"
)
_JVM = (
    *SMALL_JVM,
    # By default each process checks its timers 200 times per second: an idle cluster
    # took 4 % of the time of two workers that had one core each.
    "-Dpekko.scheduler.tick-duration=100ms",
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED.split()),
)
_LISTENING = re.compile(r"Rest endpoint listening at \S+:(\d+)")
_START_S = 120
_CHANGE_S = 60
_POLL_S = 0.1
_LINES_OF_LOG = 20
_ENDED = {"FINISHED", "FAILED", "CANCELED"}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class LocalFlinkError(Exception):
    """The cluster did not start, or did not reach a state in time."""


def why_missing() -> str | None:
    """Says what is missing to run a cluster, or None if nothing is missing."""
    for path in (JOB_SERVER, FLINK / "ready"):
        if not path.exists():
            return f"no {path}: 'make flink' builds it, which needs Java 17 and Maven"
    if shutil.which("java") is None:
        return "no java: a local Flink needs Java 17"
    return None


class LocalFlink:
    """A standalone Flink cluster, with one slot in every TaskManager.

    Start the cluster in the main thread. Its processes get SIGKILL when the thread that
    started them ends, so that they never outlive this process.

    Args:
        folder: Folder for settings, logs and temporary files; no other cluster may use
            it.
        num_task_managers: Number of TaskManagers at the start, numbered from 0.
        port: Port of the REST interface and the web page; 0 for any free port.
        settings: Settings of Flink that replace those in SETTINGS.

    Attributes:
        address: HOST:PORT of the REST interface, which Beam calls the Flink master.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        num_task_managers: int = 2,
        *,
        port: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.address = ""
        self._folder = folder.resolve()
        self._num_task_managers = num_task_managers
        self._settings = {**SETTINGS, "rest.port": port, **(settings or {})}
        self._job_manager: subprocess.Popen[bytes] | None = None
        self._task_managers: dict[int, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._http = urllib3.PoolManager(retries=False, timeout=20.0)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts all processes and returns when all slots are free.

        Raises:
            LocalFlinkError: if files or Java are missing, or a process does not start.
        """
        if reason := why_missing():
            raise LocalFlinkError(reason)
        self._prepare_folder()
        self._job_manager = self._start_java(
            "job-manager",
            "entrypoint.StandaloneSessionClusterEntrypoint",
            _JOB_MANAGER_JVM,
            ["--executionMode", "cluster"],
        )
        self._wait_until(self._has_address, _START_S, "the JobManager did not start")
        for index in range(self._num_task_managers):
            self.start_task_manager(index)
        self.wait_free(self._num_task_managers, _START_S)

    def stop(self) -> None:
        """Kills all processes, also those that TaskManagers started."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._started.clear()
        self._task_managers.clear()
        self._job_manager = None
        # These files are mostly jars of jobs. Settings and logs are kept.
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)

    def wait(self) -> None:
        """Waits until the JobManager ends; it only ends if it is killed."""
        assert self._job_manager
        self._job_manager.wait()

    def start_task_manager(self, index: int) -> None:
        """Starts a TaskManager, also a killed one; `wait_free` waits for its slot."""
        assert index not in self._task_managers, "this TaskManager already runs"
        # A new name each time. Otherwise Flink would take the process for the lost one.
        name = f"task-manager-{index}-{len(self._started)}"
        arguments = {
            "jobmanager.rpc.port": self._config("jobmanager.rpc.port"),
            "taskmanager.resource-id": name,
        }
        self._task_managers[index] = self._start_java(
            name,
            "taskexecutor.TaskManagerRunner",
            _TASK_MANAGER_JVM,
            [f"-D{key}={value}" for key, value in arguments.items()],
        )

    def kill_task_manager(self, index: int) -> None:
        """Kills a TaskManager by SIGKILL; Flink notices this some seconds later."""
        process = self._task_managers.pop(index)
        process.kill()
        process.wait()

    def task_manager_in_use(self, limit_s: float = _CHANGE_S) -> int:
        """Waits until a job uses the slot of a TaskManager, and returns its number."""
        found: list[int] = []

        def look() -> bool:
            for manager in self.get("/taskmanagers")["taskmanagers"]:
                index = int(manager["id"].split("-")[2])
                if manager["freeSlots"] == 0 and index in self._task_managers:
                    found.append(index)
            return bool(found)

        self._wait_until(look, limit_s, "no job took a slot")
        return found[0]

    def overview(self) -> dict[str, Any]:
        """The numbers of TaskManagers, slots and jobs."""
        answer: dict[str, Any] = self.get("/overview")
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, also ended ones, each with `jid`, `name`, `state` and more."""
        jobs: list[dict[str, Any]] = self.get("/jobs/overview")["jobs"]
        return jobs

    def cancel_all(self, limit_s: float = _CHANGE_S) -> None:
        """Cancels all running jobs and waits until they have ended."""

        def running() -> list[str]:
            return [job["jid"] for job in self.jobs() if job["state"] not in _ENDED]

        for job_id in running():
            self.get(f"/jobs/{job_id}?mode=cancel", "PATCH")
        self._wait_until(lambda: not running(), limit_s, "jobs did not end")

    def wait_free(self, num_slots: int, limit_s: float = _CHANGE_S) -> None:
        """Waits until Flink has only the living TaskManagers, and enough free slots."""

        def is_free() -> bool:
            now = self.overview()
            return (now["taskmanagers"], now["slots-available"]) == (
                len(self._task_managers),
                num_slots,
            )

        self._wait_until(is_free, limit_s, f"not {num_slots} slots got free")

    def get(self, path: str, method: str = "GET") -> Any:
        """The answer of the REST interface.

        Raises:
            OSError: if there is no answer, or an error.
        """
        try:
            answer = self._http.request(method, f"http://{self.address}{path}")
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"no Flink answers at {self.address}: {error}") from error
        if answer.status >= 400:
            raise OSError(f"Flink answers {path} with {answer.status}: {answer.data!r}")
        return json.loads(answer.data)

    def _config(self, key: str) -> str:
        entries = self.get("/jobmanager/config")
        return str({entry["key"]: entry["value"] for entry in entries}[key])

    def _has_address(self) -> bool:
        """Whether the JobManager has logged its address and answers there."""
        if not self.address:
            log = self._folder / "job-manager.log"
            found = _LISTENING.search(log.read_text(errors="replace"))
            self.address = f"localhost:{found[1]}" if found else ""
        return bool(self.address) and "taskmanagers" in self.overview()

    def _prepare_folder(self) -> None:
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        for log in self._logs():
            log.unlink()
        settings = {**self._settings, "io.tmp.dirs": str(self._folder / "tmp")}
        (self._folder / "config.yaml").write_text(yaml.safe_dump(settings))
        (self._folder / "log4j.properties").write_text(_LOGGING)

    def _start_java(
        self, name: str, entry_class: str, jvm: tuple[str, ...], arguments: list[str]
    ) -> subprocess.Popen[bytes]:
        log_path = self._folder / f"{name}.log"
        command = [
            "java",
            *jvm,
            *_JVM,
            f"-Djava.io.tmpdir={self._folder}/tmp",
            # Flink's web page reads the log from log.file.
            f"-Dlog.file={log_path}",
            f"-Dlog4j.configurationFile=file:{self._folder}/log4j.properties",
            f"--class-path={FLINK}/*",
            f"org.apache.flink.runtime.{entry_class}",
            f"--configDir={self._folder}",
            *arguments,
        ]
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A new process group, which also has the processes that it starts.
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()),
            )
        self._started.append(process)
        return process

    def _wait_until(
        self, condition: Callable[[], bool], limit_s: float, complaint: str
    ) -> None:
        deadline = time.monotonic() + limit_s
        problem = f"{limit_s:g} s have passed"
        while time.monotonic() < deadline:
            # The JobManager refuses to answer while it starts.
            with contextlib.suppress(OSError):
                if condition():
                    return
            living = [self._job_manager, *self._task_managers.values()]
            if any(process and process.poll() is not None for process in living):
                problem = "a process has ended"
                break
            time.sleep(_POLL_S)
        raise LocalFlinkError(f"{complaint}: {problem}\n{self._ends_of_logs()}")

    def _logs(self) -> list[pathlib.Path]:
        return sorted(self._folder.glob("*-manager*.log"))

    def _ends_of_logs(self) -> str:
        lines = []
        for log in self._logs():
            text = log.read_text(errors="replace")
            lines += [f"--- {log}", *text.splitlines()[-_LINES_OF_LOG:]]
        return "\n".join(lines)


def _dying_with(parent: int) -> Callable[[], None]:
    """A function that makes a child process end with its parent. Linux only."""

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return tie
