"""Simulates runs of `extract` with 1 to 1,000 workers: what they take, what is lost.

From measured costs (`benchmarks.scaling_costs` and other results) with the program's
own shards. Nothing is run: `benchmarks.scaling_check` compares with real runs.

Usage: python -m benchmarks.scaling [--table]
With --table, what docs/scaling.md shows of the results is printed, nothing simulated.
"""

import argparse
import dataclasses
from typing import Any

import numpy as np

from benchmarks.machine import save
from benchmarks.scaling_model import (
    Corpus,
    Costs,
    Outcome,
    Shards,
    default_limits,
    fsd50k,
    measured_costs,
    read,
    recordings,
    shards_of,
    simulate,
    speeds_of,
)
from benchmarks.schedule import dealt, taken
from pipeline.plan import ShardLimits

NAME = "scaling"
GOAL = 0.95
SPREAD = 0.1
MODELS = ("vgg41-tlpf", "vgg42-tlpf")
WORKERS = (1, 10, 100, 1_000)
# Beyond it a worker would need over 2 GB, see `memory` in the costs.
MAX_SHARD_S = 3 * 3600
# Clips in a shard that are tried; for recordings, as far as memory allows.
CLIPS = (1, 2, 4, 6, 8, 16, 18, 32, 60, 64, 128, 180, 256, 512)
# Assumed: from a machine to a store in its region, as in `benchmarks.storage_speed`.
LATENCY_S = 0.03
# Three files one after the other.
REQUESTS_A_SHARD = 3
# Assumed: how long a machine lives on average, and what a job needs to notice a death
# and to start again, beside its workers' start.
LIVES_H = (24, 168, 720)
NOTICE_S = 16.0
DRAWS = 5
UNCOMPRESSED_BYTES_A_SECOND = 88_200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    if parser.parse_args().table:
        print(main_table(read(NAME)))
        return
    large, part = recordings(1_000_000, 60), recordings(10_000, 60)
    cases = [(fsd50k(), model, n) for model in MODELS for n in WORKERS]
    cases += [(part, MODELS[0], n) for n in WORKERS]
    cases += [(large, model, 1_000) for model in MODELS]
    cases += [(recordings(1_000_000, 600), MODELS[0], 1_000)]
    save(
        NAME,
        {
            "goal": GOAL,
            "spread_of_speeds": SPREAD,
            "costs": {m: dataclasses.asdict(measured_costs(m)) for m in MODELS},
            "runs": [run_case(*case) for case in cases],
            "rules": [rule for n in WORKERS[1:] for rule in try_rules(fsd50k(), n)],
            "latency": [slow_store(c, m) for c in (fsd50k(), part) for m in MODELS],
            "deaths": [deaths(part, n, h) for n in (10, 100, 1_000) for h in LIVES_H],
            "store": [store(c, m, 1_000) for c in (fsd50k(), large) for m in MODELS],
            "files": [files(large, number) for number in (None, 60, 180)]
            + [files(part, number) for number in (None, 60)],
        },
    )


def run_case(corpus: Corpus, model: str, num_workers: int) -> dict[str, Any]:
    """One row: the program's own limits, four ways; and what else could be chosen."""
    costs = measured_costs(model)
    shards = shards_of(corpus, default_limits(corpus, num_workers))
    ways = {
        f"{way.__name__}{' unequal' if spread else ''}": describe(
            simulate(shards, costs, way, speeds_of(num_workers, spread))
        )
        for way in (taken, dealt)
        for spread in (0.0, SPREAD)
    }
    return {
        "corpus": corpus.name,
        "model": model,
        "workers": num_workers,
        "default": ways,
        "best": best_clips(corpus, costs, num_workers),
    }


def describe(outcome: Outcome) -> dict[str, Any]:
    return {**dataclasses.asdict(outcome), "command_s": outcome.command_s}


def best_clips(corpus: Corpus, costs: Costs, num_workers: int) -> dict[str, Any]:
    """The largest shards that reach the goal with unequal workers that take them.

    If none does, those that come closest.
    """
    tried = []
    for number in CLIPS:
        shards = shards_of(corpus, ShardLimits(number))
        too_few = len(shards.clips) < num_workers
        if shards.audio_s[0] > MAX_SHARD_S or too_few or len(shards.clips) > 4e6:
            continue
        outcome = simulate(shards, costs, taken, speeds_of(num_workers, SPREAD))
        tried.append({"shard_clips": number, **describe(outcome)})
    good = [one for one in tried if one["efficiency"] >= GOAL]
    return good[-1] if good else max(tried, key=lambda one: one["efficiency"])


def try_rules(corpus: Corpus, num_workers: int) -> list[dict[str, Any]]:
    """Other numbers in the rule by which the program chooses limits."""
    rows = []
    for per_worker in (4, 8, 16, 32, 64):
        for most_clips, most_s in ((64, 900.0), (1_024, 3600.0)):
            even_s = corpus.total_s / (num_workers * per_worker)
            limits = ShardLimits(most_clips, float(np.clip(even_s, 10.0, most_s)))
            shards = shards_of(corpus, limits)
            outcome = simulate(
                shards, measured_costs(MODELS[0]), taken, speeds_of(num_workers, SPREAD)
            )
            rows.append(
                {
                    "corpus": corpus.name,
                    "workers": num_workers,
                    "shards_a_worker": per_worker,
                    "most": [most_clips, most_s],
                    "shards": outcome.shards,
                    "efficiency": outcome.efficiency,
                }
            )
    return rows


def slow_store(corpus: Corpus, model: str) -> dict[str, Any]:
    """The share of a worker's time that a store with latency takes; no simulation.

    Clips are fetched one ahead while another is decoded, as measured.
    """
    costs, decode = measured_costs(model), read("storage-speed")["decode"]
    wait_s = (decode["slow bucket, ahead"] - decode["disk"]) / decode["clips"]
    shards = shards_of(corpus, default_limits(corpus, 100))
    num_clips = int(shards.clips.sum())
    useful_s = float(shards.patches.sum() * costs.patch_s + num_clips * costs.clip_s)
    reads_s = wait_s * num_clips
    commits_s = LATENCY_S * REQUESTS_A_SHARD * len(shards.clips)
    return {
        "corpus": corpus.name,
        "model": model,
        "wait_a_clip_s": wait_s,
        "share_reads": reads_s / (useful_s + reads_s + commits_s),
        "share_commits": commits_s / (useful_s + reads_s + commits_s),
    }


def deaths(corpus: Corpus, num_workers: int, life_h: float) -> dict[str, Any]:
    """Efficiency when workers die, the mean of several draws: VGG42."""
    costs = measured_costs(MODELS[1])
    shards = shards_of(corpus, default_limits(corpus, num_workers))
    calm = simulate(shards, costs, taken, speeds_of(num_workers, 0.0))
    every_s = life_h * 3600 / num_workers
    number = int(20 * calm.job_s / every_s) + 20
    restart_s = NOTICE_S + costs.worker_s
    draws = [
        np.random.default_rng(seed).exponential(every_s, number).cumsum()
        for seed in range(DRAWS)
    ]
    ones = speeds_of(num_workers, 0.0)
    found = [
        simulate(shards, costs, taken, ones, moments, restart_s).efficiency
        for moments in draws
    ]
    often = calm.job_s / every_s
    return {
        "corpus": corpus.name,
        "workers": num_workers,
        "life_h": life_h,
        "a_death_every_s": every_s,
        "calm": calm.efficiency,
        "efficiency": float(np.mean(found)),
        "without_ledger_times_as_long": float(np.expm1(min(often, 50.0)) / often),
    }


def store(corpus: Corpus, model: str, num_workers: int) -> dict[str, Any]:
    """What a store is asked for in a second while all workers are busy."""
    costs, asked = measured_costs(model), read("scaling-costs")["requests"]
    shards = shards_of(corpus, default_limits(corpus, num_workers))
    num_clips, audio_s = int(shards.clips.sum()), float(shards.audio_s.sum())
    useful_s = float(shards.patches.sum() * costs.patch_s + num_clips * costs.clip_s)
    per_s = num_workers / useful_s
    return {
        "corpus": corpus.name,
        "model": model,
        "workers": num_workers,
        "clips_a_second": num_clips * per_s,
        "gets_and_heads_a_second": num_clips * per_s * total(asked["read a clip"]),
        "puts_a_second": len(shards.clips)
        * per_s
        * total(asked["commit a shard of 900 s"]),
        "read_gb_a_second": audio_s * per_s * UNCOMPRESSED_BYTES_A_SECOND / 1e9,
    }


def total(asked: dict[str, float]) -> float:
    return sum(asked.values())


def files(corpus: Corpus, shard_clips: int | None) -> dict[str, Any]:
    """What the number of files costs the launcher, against a store without latency."""
    costs = measured_costs(MODELS[0])
    listing = read("scaling-costs")["files"]["minio"][-1]
    shards: Shards = shards_of(corpus, default_limits(corpus, 1_000, shard_clips))
    number = len(shards.clips)
    plan = read("plan-million")
    rows = corpus.num_clips / plan["rows"]
    return {
        "corpus": corpus.name,
        "shard_clips": shard_clips,
        "shard_s": float(shards.audio_s[0]),
        "ledger_files": number,
        "objects": 3 * number,
        "plan_s": costs.planned_clip_s * corpus.num_clips,
        "plan_gb": rows * plan["plan_and_read_shards"]["peak_mb"] / 1e3,
        "list_ledger_s": number * listing["list_s"] / listing["shards"],
        "continue_s": number * costs.before_s,
        "sum_up_s": number * costs.after_s,
    }


def main_table(results: dict[str, Any]) -> str:
    """The table of docs/scaling.md: one row for every simulated run."""
    lines = [
        "| corpus, model | workers | shards | taken | dealt | taken, ±10 % | "
        "dealt, ±10 % | launcher | job | `--shard-clips` | then |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in results["runs"]:
        ways, best = run["default"], run["best"]
        usual = ways["taken"]
        shares = [
            percent(ways[way]["efficiency"])
            for way in ("taken", "dealt", "taken unequal", "dealt unequal")
        ]
        lines.append(
            f"| {run['corpus']}, {run['model'][:5].upper()} | {run['workers']:,} | "
            f"{usual['shards']:,} | {' | '.join(shares)} | "
            f"{duration(usual['launcher_s'])} | {duration(usual['job_s'])} | "
            f"{best['shard_clips']} | {percent(best['efficiency'])} |"
        )
    return "\n".join(lines)


def percent(share: float) -> str:
    """In bold where the goal is reached."""
    text = f"{100 * share:.1f}"
    return f"**{text}**" if share >= GOAL else text


def duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
