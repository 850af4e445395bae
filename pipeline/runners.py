"""How a job is started, watched and ended on each kind of runner.

So far `local`: one single-threaded worker process a core, under a job process that is
replaced when a worker dies. Cluster runners are to be added here.
"""

import collections
import contextlib
import functools
import io
import json
import logging
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.errors import ConfigError
from pipeline.extract import ExtractJob
from pipeline.local_job import COUNTERS_NAME, DEATH_NAME, WORKER_DIED_CODE, LocalJob
from pipeline.process import child_environment
from transforms.essentia_import import TENSORFLOW_ENVIRONMENT
from transforms.progress import STATUS_FOLDER_VARIABLE, WorkerStatus, read_statuses

_POLL_S = 0.2
# A clip that was in hand at two deaths is given up.
DEATHS_A_CLIP = 2
_MAX_DEATHS = 20
_MAX_DEATHS_WITHOUT_CLIP = 3
_OUR_BEAM_FLAGS = {
    "--runner": "--runner",
    "--direct_num_workers": "--workers",
    "--direct_running_mode": "--workers",
}

Replan = Callable[[dict[str, str]], bool]
Watch = Callable[[dict[int, WorkerStatus]], None]


class JobError(Exception):
    """A job ended early. What it committed stays, and the next run continues."""


def check_beam_flags(flags: tuple[str, ...]) -> None:
    """Raises ConfigError for a flag that Beam does not know; Beam would only warn."""
    for before, flag in zip(("", *flags), flags, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if flag in ("-h", "--help") or not (flag.startswith("-") or is_value):
            raise ConfigError(f"{flag!r} after --: expected flags for Beam only")
        ours = _OUR_BEAM_FLAGS.get(flag.partition("=")[0])
        if ours:
            raise ConfigError(f"{flag} after --: give {ours} before -- instead")
    logging.getLogger("apache_beam.options").setLevel(logging.ERROR)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            found = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        reason = said.getvalue().strip().splitlines()[-1:]
        raise ConfigError(f"Beam refuses a flag after --: {reason}") from error
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ConfigError(
            f"Beam has no flag --{unknown[0]} (after --); check its name, and give "
            "fsdsinet's own options before --"
        )


def run_local(
    job: ExtractJob,
    num_workers: int,
    beam_flags: tuple[str, ...],
    replan: Replan,
    watch: Watch,
) -> dict[str, int]:
    """Runs a job on this machine until every shard is committed.

    When a worker dies (killed, crashed, out of memory) the job starts again with the
    shards that are left. A clip that was in hand twice at such a moment is given up.

    Args:
        job: Its plan file is written by `replan`.
        num_workers: Worker processes.
        beam_flags: Checked flags for Beam.
        replan: Writes the plan of what is left; gets the clips to give up, with the
            reason; returns False if nothing is left.
        watch: Called several times a second with the status of the workers.

    Returns:
        Counters of the last attempt; none if it had nothing left to do.

    Raises:
        JobError: if the job failed, or workers keep dying.
    """
    deaths = _Deaths()
    while replan(deaths.given_up):
        with tempfile.TemporaryDirectory(prefix="fsdsinet-") as folder:
            local_job = LocalJob(job, num_workers, beam_flags, folder)
            code = _run_job_process(local_job, functools.partial(_watch, watch, folder))
            if code == 0:
                return _read(folder, COUNTERS_NAME)
            if code != WORKER_DIED_CODE:
                raise JobError(_job_problem(code, folder))
            deaths.add(**_read(folder, DEATH_NAME))
    return {}


class _Deaths:
    """Counts the deaths of workers, and the clips they had in hand.

    Attributes:
        given_up: Clips that are not to be tried again, with the reason.
    """

    def __init__(self) -> None:
        self.given_up: dict[str, str] = {}
        self._by_clip: collections.Counter[str | None] = collections.Counter()

    def add(self, problem: str, clip_ids: list[str]) -> None:
        """Notes a death; raises JobError if there were too many."""
        counts = self._by_clip
        in_hand: list[str | None] = [*clip_ids]
        counts.update(in_hand or [None])
        if counts[None] >= _MAX_DEATHS_WITHOUT_CLIP or counts.total() >= _MAX_DEATHS:
            raise JobError(
                f"worker processes died {counts.total()} times (the last: {problem}); "
                "often memory ran out: try fewer --workers"
            )
        for clip_id in clip_ids:
            if counts[clip_id] >= DEATHS_A_CLIP:
                self.given_up[clip_id] = (
                    f"worker processes died {DEATHS_A_CLIP} times while working on "
                    f"clip {clip_id} (the last: {problem}); it may be too long for "
                    "the memory or crash the decoder: split or re-encode it"
                )


def _watch(watch: Watch, folder: str) -> None:
    watch(read_statuses(folder))


def _run_job_process(job: LocalJob, poll: Callable[[], None]) -> int:
    """Runs `pipeline.local_job` to its end; kills it and its workers on any error."""
    environment = {
        **child_environment(),
        **TENSORFLOW_ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        STATUS_FOLDER_VARIABLE: job.status_folder,
        # Beam leaves temporary folders; this one is removed at the end.
        "TMPDIR": job.status_folder,
    }
    with open(_log_path(job.status_folder), "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.local_job"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    with _killed_at_end(process):
        assert process.stdin is not None
        # A job that ended at once says why in its log.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps(job))
            process.stdin.close()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_S)
            poll()


@contextlib.contextmanager
def _killed_at_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leaves no worker behind: they are in the job's process group."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _log_path(folder: str) -> pathlib.Path:
    return pathlib.Path(folder) / "log"


def _read(folder: str, name: str) -> Any:
    return json.loads((pathlib.Path(folder) / name).read_text(encoding="utf-8"))


def _job_problem(code: int, folder: str) -> str:
    """A message with the job's own words; its whole log is kept."""
    log = _log_path(folder).read_text(encoding="utf-8", errors="replace")
    with tempfile.NamedTemporaryFile(
        "w", prefix="fsdsinet-", suffix=".log", delete=False
    ) as kept:
        kept.write(log)
    lines = [line for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else f"no output, exit code {code}"
    return f"the job failed: {last}\nits log: {kept.name}"
