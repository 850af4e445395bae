"""Plans a run: which clips are to be done, and in which shards."""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from transforms import manifest as plan_file
from transforms.elements import Failure
from transforms.manifest import PLAN_FIELDS
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import FileInfo, unsigned

# A shard is large enough that files take little of its time. It is small enough for a
# worker's memory, and for losing little when a run is killed.
_MAX_SHARD_CLIPS = 64
_MIN_SHARD_AUDIO_S, _MAX_SHARD_AUDIO_S = 10.0, 900.0
# At the end of a run a worker waits for the last shards of other workers, which takes
# the time of half a shard on average.
_SHARDS_PER_WORKER = 16
_OWN_COLUMNS = frozenset(field.name for field in (*LEDGER_FIELDS, *PLAN_FIELDS))
# Columns of the ledger that say what the clips of the manifest are.
_SAME_COLUMNS = frozenset(["clip_id", "uri", RECORDED_AT_COLUMN])
_NUM_SHOWN = 10
_OTHER_ROWS = "its rows are not those of the dataset, first:"


@dataclasses.dataclass(frozen=True)
class ShardLimits:
    """How much a shard may hold.

    Attributes:
        num_clips: Number of clips.
        audio_s: Predicted seconds of audio; a single clip may have more.
    """

    num_clips: int
    audio_s: float = math.inf


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
        f"manifest_{name}" if name in _OWN_COLUMNS - _SAME_COLUMNS else name
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
    """Limits that give every worker several shards of equal work.

    Args:
        audio_s: float64 [number of pending clips], predicted seconds of audio.
        num_workers: Number of worker processes.
        num_clips: Number of clips in a shard; None for shards of equal work.
    """
    if num_clips:
        return ShardLimits(num_clips)
    even_s = audio_s.sum() / (num_workers * _SHARDS_PER_WORKER)
    shard_s = float(np.clip(even_s, _MIN_SHARD_AUDIO_S, _MAX_SHARD_AUDIO_S))
    return ShardLimits(_MAX_SHARD_CLIPS, shard_s)


def cut(audio_s: npt.NDArray[np.float64], limits: ShardLimits) -> list[slice]:
    """Slices of consecutive clips, each as long as the limits allow."""
    slices, start = [], 0
    ends_s = audio_s.cumsum()
    while start < len(audio_s):
        before_s = ends_s[start - 1] if start else 0.0
        in_time = int(np.searchsorted(ends_s, before_s + limits.audio_s, "right"))
        stop = min(max(start + 1, in_time), start + limits.num_clips, len(audio_s))
        slices.append(slice(start, stop))
        start = stop
    return slices


def pending_rows(
    manifest: pa.Table,
    ledger: pa.Table,
    retry_failed: bool,
    repeated: pa.Array | None = None,
) -> pa.Table:
    """The rows of the manifest that are not done, in the order of the manifest.

    Args:
        manifest: From `ledger_columns`.
        ledger: From `Dataset.read_done`; no rows in a new run.
        retry_failed: Whether failed rows are pending, too.
        repeated: clip_ids of other rows that are pending, too.

    Raises:
        ConfigError: if the manifest lost or changed rows that are in the ledger.
    """
    if ledger.num_rows:
        _check_only_grown(manifest, ledger)
    if retry_failed:
        ledger = ledger.filter(pc.equal(ledger["status"], "ok"))
    if repeated is not None:
        is_repeated = pc.is_in(ledger["clip_id"], value_set=repeated)
        ledger = ledger.filter(pc.invert(is_repeated))
    done = pc.is_in(manifest["clip_id"], value_set=ledger["clip_id"])
    return manifest.filter(pc.invert(done))


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
    files: Mapping[str, FileInfo | None] | None = None,
) -> None:
    """Writes the plan file of the pending rows, of which there is at least one.

    Clips that are not to be tried get shards of their own, so that they are committed
    whatever happens to the others.

    Args:
        plan: Plan of the run.
        path: Path or uri of the plan file.
        failures: Failures of clips that are not to be tried, by clip_id.
        files: Sizes and times of files, by uri.
    """
    chosen = pa.array(list(failures), pa.string())
    given_up = pc.is_in(plan.pending["clip_id"], value_set=chosen)
    groups = [plan.select(rows) for rows in (given_up, pc.invert(given_up))]
    plan_file.write_plan(
        (shard for group in groups for shard in shards(group)), path, failures, files
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


def _check_only_grown(manifest: pa.Table, ledger: pa.Table) -> None:
    own = _OWN_COLUMNS - {"clip_id", "uri"}
    kept = [field for field in ledger.schema if field.name not in own]
    now = {f.name: f.type for f in manifest.schema if f.name not in own}
    then = {field.name: field.type for field in kept}
    if now != then:
        changed = {k for k in now | then if now.get(k) != then.get(k)}
        lines = [f"  {k}: was {then.get(k)}, is {now.get(k)}" for k in sorted(changed)]
        raise _changed("its columns are not those of the dataset", lines)
    rows = pc.index_in(
        ledger["clip_id"], value_set=manifest["clip_id"].combine_chunks()
    )
    lost = ledger["clip_id"].filter(pc.is_null(rows))
    if len(lost):
        shown = [f"  {clip_id!r}" for clip_id in lost[:_NUM_SHOWN].to_pylist()]
        raise _changed(f"{len(lost)} clips of the dataset are not in it", shown)
    for name in then:
        was, is_now = ledger[name], manifest[name].take(rows)
        if name == "uri" and not was.equals(is_now):
            # A URL that was signed again is unchanged, and its signature is not shown.
            was, is_now = (
                pa.array(map(unsigned, x.to_pylist())) for x in (was, is_now)
            )
        if was.equals(is_now):
            continue
        # Values are compared as text, in which NaN equals NaN.
        pairs = zip(
            map(repr, was.to_pylist()), map(repr, is_now.to_pylist()), strict=True
        )
        for row in (row for row, (old, new) in enumerate(pairs) if old != new):
            clip_id = ledger["clip_id"][row].as_py()
            line = f"  {name} of clip {clip_id!r}: was {was[row]}, is {is_now[row]}"
            raise _changed(_OTHER_ROWS, [line])
    _check_same_times(manifest.take(rows), ledger)


def _check_same_times(manifest: pa.Table, ledger: pa.Table) -> None:
    """Raises ConfigError if times that the ledger has from the manifest have changed.

    The ledger may have a local time with the offset of `--timezone`.

    Args:
        manifest: The rows of the clips in the ledger, in the same order.
        ledger: From `Dataset.read_done`.
    """
    is_given = pc.equal(ledger["recorded_at_source"], "column")
    ids, was = (ledger[name].filter(is_given) for name in ("clip_id", "recorded_at"))
    is_now = pa.nulls(len(was), pa.string())
    if RECORDED_AT_COLUMN in manifest.column_names:
        is_now = manifest[RECORDED_AT_COLUMN].filter(is_given)
    rows = zip(ids.to_pylist(), was.to_pylist(), is_now.to_pylist(), strict=True)
    for clip_id, old, new in rows:
        if new is None or (old != new and not _is_with_offset(old, new)):
            line = f"  recorded_at of clip {clip_id!r}: was {old}, is {new}"
            raise _changed(_OTHER_ROWS, [line])


def _is_with_offset(text: str, local: str) -> bool:
    return text.startswith(local) and text[len(local) : len(local) + 1] in ("+", "-")


def _changed(problem: str, lines: list[str]) -> ConfigError:
    return ConfigError(
        f"the manifest has changed: {problem}\n"
        + "\n".join(lines)
        + "\na run continues only if no row was removed or changed: restore the "
        "manifest, or give a new --output or --overwrite"
    )
