"""Plans a run: which clips are to be done, and in which shards."""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.launch.done_rows import OWN_COLUMNS, DoneRows
from transforms import manifest as plan_file
from transforms.elements import Failure
from transforms.recorded_at.choose import RECORDED_AT_COLUMN

# A shard is large enough that files take little of its time. It is small enough for a
# worker's memory, and for losing little when a run is killed.
_MAX_SHARD_CLIPS = 64
_MIN_SHARD_AUDIO_S, _MAX_SHARD_AUDIO_S = 10.0, 900.0
# At the end of a run a worker waits for the last shards of other workers, which takes
# longest for the slowest worker. The last shards are therefore shorter: with workers of
# half the speed, they end within 3 % of the time of a run (simulated; without, 10 %).
_SHARDS_PER_WORKER = 16
_LAST_SHARDS_PER_WORKER, _LAST_SHARDS_CUT_IN = 8, 4
# Columns of the ledger that say what the clips of the manifest are.
_SAME_COLUMNS = frozenset(["clip_id", "uri", RECORDED_AT_COLUMN])


@dataclasses.dataclass(frozen=True)
class ShardLimits:
    """How much a shard may hold.

    Attributes:
        num_clips: Number of clips.
        audio_s: Predicted seconds of audio; a single clip may have more.
        last_s: Predicted seconds of audio at the end of a plan that go into shorter
            shards.
        last_audio_s: What `audio_s` is for these shards.
    """

    num_clips: int
    audio_s: float = math.inf
    last_s: float = 0.0
    last_audio_s: float = math.inf


@dataclasses.dataclass(frozen=True)
class Plan:
    """The clips that a run has to do, and the limits of its shards.

    Attributes:
        manifest: All rows of the manifest, with the column names of the ledger.
        pending: Rows that are still to do, in the order of `by_file`.
        audio_s: float64 [rows of `pending`], predicted seconds of audio.
        limits: Limits of every shard.
    """

    manifest: pa.Table
    pending: pa.Table
    audio_s: npt.NDArray[np.float64]
    limits: ShardLimits

    @property
    def num_shards(self) -> int:
        return len(cut(self.audio_s, self.limits))

    def select(self, rows: pa.Array) -> "Plan":
        """The plan of those pending rows for which `rows` is true."""
        if pc.all(rows).as_py():
            # A copy of ten million rows takes a gigabyte.
            return self
        return dataclasses.replace(
            self,
            pending=self.pending.filter(rows),
            audio_s=self.audio_s[np.asarray(rows)],
        )


def ledger_columns(manifest: pa.Table) -> pa.Table:
    """Renames manifest columns named as a ledger column to `manifest_<name>`.

    `recorded_at` keeps its name: it becomes the column of the ledger.
    """
    names = [
        f"manifest_{name}" if name in OWN_COLUMNS - _SAME_COLUMNS else name
        for name in manifest.column_names
    ]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"the ledger would have a column twice: got {sorted(names)}; rename that "
            "column of the manifest"
        )
    return manifest.rename_columns(names)


def choose_limits(
    audio_s: npt.NDArray[np.float64], num_workers: int, num_clips: int | None
) -> ShardLimits:
    """Limits that give every worker several shards of equal work; the last are short.

    Args:
        audio_s: float64 [number of pending clips], predicted seconds of audio.
        num_workers: Number of worker processes.
        num_clips: Number of clips in a shard; None for shards of equal work.
    """
    if num_clips:
        return ShardLimits(num_clips)
    even_s = audio_s.sum() / (num_workers * _SHARDS_PER_WORKER)
    shard_s = float(np.clip(even_s, _MIN_SHARD_AUDIO_S, _MAX_SHARD_AUDIO_S))
    if not len(audio_s):
        return ShardLimits(_MAX_SHARD_CLIPS, shard_s)
    usual_s = min(shard_s, _MAX_SHARD_CLIPS * float(audio_s.mean()))
    return ShardLimits(
        _MAX_SHARD_CLIPS,
        shard_s,
        last_s=usual_s * num_workers * _LAST_SHARDS_PER_WORKER,
        last_audio_s=max(usual_s / _LAST_SHARDS_CUT_IN, _MIN_SHARD_AUDIO_S),
    )


def cut(audio_s: npt.NDArray[np.float64], limits: ShardLimits) -> list[slice]:
    """Slices of consecutive clips, each as long as the limits allow."""
    slices, start = [], 0
    ends_s = audio_s.cumsum()
    while start < len(audio_s):
        before_s = ends_s[start - 1] if start else 0.0
        is_last = ends_s[-1] - before_s <= limits.last_s
        most_s = limits.last_audio_s if is_last else limits.audio_s
        in_time = int(np.searchsorted(ends_s, before_s + most_s, "right"))
        stop = min(max(start + 1, in_time), start + limits.num_clips, len(audio_s))
        slices.append(slice(start, stop))
        start = stop
    return slices


def pending_rows(
    manifest: pa.Table,
    done: DoneRows,
    retry_failed: bool,
    repeated: pa.Array | None = None,
) -> pa.Table:
    """The rows of the manifest that are not done, in the order of the manifest.

    Args:
        manifest: Rows of the manifest, with other columns or not.
        done: From `find_done`.
        retry_failed: Whether failed rows are pending, too.
        repeated: clip_ids of other rows that are pending, too.
    """
    is_pending = ~done.is_ok if retry_failed else ~(done.is_ok | done.is_failed)
    if repeated is not None:
        is_pending |= np.asarray(pc.is_in(manifest["clip_id"], value_set=repeated))
    return manifest if is_pending.all() else manifest.filter(pa.array(is_pending))


def by_file(pending: pa.Table) -> pa.Table:
    """Puts excerpts of the same file next to each other, in the order of their starts.

    They are then in the same shards, whose workers read the file once. The excerpts of
    a file take the place of the first of them. All other rows keep their order.

    Args:
        pending: Rows of the manifest, with `start_s` and `end_s` if there are excerpts.
    """
    if "start_s" not in pending.column_names or not pending.num_rows:
        return pending
    is_whole = pc.and_(pc.is_null(pending["start_s"]), pc.is_null(pending["end_s"]))
    files = np.array(pc.index_in(pending["uri"], pc.unique(pending["uri"])))
    # Whole files are groups of their own.
    files = np.where(is_whole, len(files) + np.arange(len(files)), files)
    _, first_rows, group_of = np.unique(files, return_index=True, return_inverse=True)
    start_s = pc.fill_null(pending["start_s"], 0.0).to_numpy()
    return pending.take(np.lexsort((start_s, first_rows[group_of])))


def write_plan(
    plan: Plan,
    path: str,
    failures: Mapping[str, Failure],
) -> None:
    """Writes the plan file of the pending rows, of which there is at least one.

    Clips that are not to be tried get shards of their own, so that they are committed
    whatever happens to the others.

    Args:
        plan: Plan of the run.
        path: Path or uri of the plan file.
        failures: Failures of clips that are not to be tried, by clip_id.
    """
    chosen = pa.array(list(failures), pa.string())
    given_up = pc.is_in(plan.pending["clip_id"], value_set=chosen)
    groups = [plan.select(rows) for rows in (given_up, pc.invert(given_up))]
    plan_file.write_plan(
        (shard for group in groups for shard in shards(group)), path, failures
    )


def shards(plan: Plan) -> Iterator[pa.Table]:
    """Consecutive slices of the pending rows.

    The slices with the most predicted audio come first, so that the last shards of a
    run are short.
    """
    slices = cut(plan.audio_s, plan.limits)
    slices.sort(key=lambda rows: -plan.audio_s[rows].sum())
    for rows in slices:
        yield plan.pending.slice(rows.start, rows.stop - rows.start)
