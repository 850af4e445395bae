"""A run of `extract` in numbers: measured costs, a corpus, its shards, what they take.

The costs come from `benchmarks/results`; nothing is run here.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import RESULTS
from benchmarks.schedule import Seconds, Way, makespan_s
from pipeline.plan import ShardLimits, choose_limits, cut

# Of `benchmarks.extract_speed`: 300 clips, last patches discarded.
_MEASURED_CLIPS = 300
_HOP_S, _FRAME_S = 220 / 22050, 101


@dataclasses.dataclass(frozen=True)
class Costs:
    """Seconds that things take.

    Attributes:
        clip_s: Of a clip, to open it.
        patch_s: Of a patch: its share of decoding, log-mel and network.
        shard_s: Of a commit.
        audio_s: Of a commit, for every second of audio.
        worker_s: Until a worker is ready.
        launcher_s: Of the rest of a run of one clip.
        planned_clip_s: Of the launcher, for every row of the manifest.
        before_s: Of the launcher, for every shard that a continued run finds done.
        after_s: Of the launcher, for every shard, to sum up.
    """

    clip_s: float
    patch_s: float
    shard_s: float
    audio_s: float
    worker_s: float
    launcher_s: float
    planned_clip_s: float
    before_s: float
    after_s: float


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Clips by their lengths; where all are equally long, one length stands for all."""

    name: str
    num_clips: int
    lengths_s: Seconds

    @property
    def total_s(self) -> float:
        return float(self.lengths_s.mean()) * self.num_clips


@dataclasses.dataclass(frozen=True)
class Shards:
    """Clips, patches and seconds of audio of every shard, in the order of the plan."""

    clips: npt.NDArray[np.int64]
    patches: npt.NDArray[np.int64]
    audio_s: Seconds


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def measured_costs(model: str, place: str = "minio") -> Costs:
    """Costs with a model such as `vgg41-tlpf`, with the output on `disk` or `minio`.

    A patch takes what is left of a run with one worker after its first patch, a start
    what comes before: as measured by `benchmarks.extract_speed`. How much of a start is
    the worker's is known from `benchmarks.scaling_costs`.
    """
    costs, speed = read("scaling-costs"), read(f"extract-speed-random-{model}")
    round_ = speed["median_round"]
    run_s = round_["wall_s"]["extract, 1 worker"] - round_["first_patch_s"]
    clip_s = costs["clips"]["clip_s"]
    start, commit = costs["starts"][f"random-{model}"], costs["commits"][place]
    worker_s = round_["first_patch_s"] * start["worker_s"] / start["run_of_one_clip_s"]
    files = [row for row in costs["files"][place] if "after_s" in row][-1]
    plan = read("plan-million")
    return Costs(
        clip_s=clip_s,
        patch_s=(run_s - _MEASURED_CLIPS * clip_s) / round_["patches"],
        shard_s=commit["shard_s"],
        audio_s=commit["audio_s"],
        worker_s=worker_s,
        launcher_s=round_["first_patch_s"] - worker_s,
        planned_clip_s=plan["plan_and_read_shards"]["seconds"] / plan["rows"],
        before_s=files["before_s"] / files["shards"],
        after_s=files["after_s"] / files["shards"],
    )


def fsd50k() -> Corpus:
    """As many clips as FSD50K has, with lengths like theirs: 0.3 to 30 s, 108 hours."""
    num_clips, mean_s = 51_197, 7.6
    lengths_s = np.clip(np.random.default_rng(0).exponential(8.0, num_clips), 0.3, 30)
    lengths_s = np.clip(lengths_s * (mean_s / lengths_s.mean()), 0.3, 30)
    return Corpus("FSD50K", num_clips, lengths_s)


def recordings(hours: int, file_s: float) -> Corpus:
    """Recordings of one length."""
    name = f"{hours:,} h in files of {file_s:g} s"
    return Corpus(name, round(hours * 3600 / file_s), np.array([file_s]))


def num_patches(lengths_s: Seconds) -> npt.NDArray[np.int64]:
    """Patches of clips by their lengths, the last one filled up."""
    frames = np.ceil(lengths_s / _HOP_S).astype(np.int64) + 1
    return np.maximum(0, (frames - _FRAME_S) // 50 + 1) + 1


def default_limits(
    corpus: Corpus, num_workers: int, num_clips: int | None = None
) -> ShardLimits:
    """Those of the program, with the option for clips or without."""
    lengths_s = np.broadcast_to(corpus.lengths_s, (corpus.num_clips,))
    return choose_limits(lengths_s, num_workers, num_clips)


def shards_of(corpus: Corpus, limits: ShardLimits) -> Shards:
    """The largest first, as planned."""
    patches = num_patches(corpus.lengths_s)
    if len(patches) == 1:
        length_s = corpus.lengths_s[0]
        per_shard = max(1, int(min(limits.num_clips, limits.audio_s / length_s)))
        num_full, rest = divmod(corpus.num_clips, per_shard)
        clips = np.array([per_shard] * num_full + [rest] * bool(rest), np.int64)
        return Shards(clips, clips * patches[0], clips * length_s)
    slices = cut(corpus.lengths_s, limits)
    starts = [rows.start for rows in slices]
    audio_s = np.add.reduceat(corpus.lengths_s, starts)
    order = np.argsort(-audio_s, kind="stable")
    clips = np.array([rows.stop - rows.start for rows in slices], np.int64)
    return Shards(clips[order], np.add.reduceat(patches, starts)[order], audio_s[order])


def work_s(shards: Shards, costs: Costs) -> Seconds:
    """Useful work of every shard."""
    return shards.patches * costs.patch_s + shards.clips * costs.clip_s


def speeds_of(num_workers: int, spread: float) -> Seconds:
    """Speeds from 1 - spread to 1 + spread, in no order; 1 on average."""
    if num_workers == 1:
        return np.ones(1)
    speeds = np.linspace(1 - spread, 1 + spread, num_workers)
    return np.random.default_rng(0).permutation(speeds)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run takes.

    Attributes:
        shards: Their number.
        launcher_s: Of the command before the workers start and after their last shard.
        job_s: From the workers' start to the end of the last shard.
        efficiency: Useful work by the workers' time, which is that of the job.
        losses: The other shares of the workers' time.
    """

    shards: int
    launcher_s: float
    job_s: float
    efficiency: float
    losses: dict[str, float]

    @property
    def command_s(self) -> float:
        return self.launcher_s + self.job_s


def simulate(
    shards: Shards,
    costs: Costs,
    way: Way,
    speeds: Seconds,
    deaths_s: Seconds | None = None,
    restart_s: float = 0.0,
) -> Outcome:
    """A new run of these shards."""
    useful_s = work_s(shards, costs)
    all_s = useful_s + costs.shard_s + costs.audio_s * shards.audio_s
    moments = () if deaths_s is None else deaths_s
    job_s = costs.worker_s + makespan_s(way, all_s, speeds, moments, restart_s)
    planning_s = costs.planned_clip_s * int(shards.clips.sum())
    time_s = len(speeds) * job_s
    shares = {
        "start": costs.worker_s / job_s,
        "commit": float((all_s - useful_s).sum() / time_s),
    }
    efficiency = float(useful_s.sum() / time_s)
    return Outcome(
        shards=len(all_s),
        launcher_s=costs.launcher_s + planning_s + costs.after_s * len(all_s),
        job_s=job_s,
        efficiency=efficiency,
        losses={**shares, "waiting": 1 - efficiency - sum(shares.values())},
    )
