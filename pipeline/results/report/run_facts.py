"""Describes the run for the report: its state, totals, speed, settings and versions."""

import datetime
from collections.abc import Mapping
from typing import Any

from pipeline.console import format_duration
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import stored_values
from transforms.schemas import DEFAULT_PATCH_FORMAT


def run_state(
    run: dict[str, Any], totals: dict[str, Any], is_running: bool
) -> list[str]:
    """Describes the state of the dataset.

    Args:
        run: Content of run.json.
        totals: Totals of the ledger.
        is_running: Whether a run holds the dataset's lock.

    Returns:
        `good`, `warning` or `bad`, then the state in a word or two, then a sentence.
    """
    done, all_clips = totals["clips"], run["manifest"]["num_clips"]
    share = f"{done:,} of {all_clips:,} clips are done"
    again = "run the same extract command again to continue"
    if is_running:
        return ["warning", "still running", f"{share}, and this page shows them"]
    if run["state"] == "stopped":
        return ["warning", "interrupted", f"{share}; {again}"]
    if run["state"] != "finished":
        return ["warning", "killed", f"{share}, and no run is active; {again}"]
    if not totals["ok"] and done:
        return ["bad", "all failed", f"none of {done:,} clips could be processed"]
    if totals["failed"]:
        share = f"{totals['ok']:,} clips are ok, {totals['failed']:,} failed"
        return ["good", "finished", share]
    return ["good", "finished", f"all {done:,} clips are ok"]


def run_tiles(run: dict[str, Any], totals: dict[str, Any]) -> list[list[str]]:
    """Returns the totals at the top of the page: name, value and note of each."""
    audio_s = totals["audio_hours"] * 3600
    count = len(run["models"])
    models = "for one model" if count == 1 else f"for each of {count} models"
    tiles = [
        ["Clips ok", f"{totals['ok']:,}", f"of {run['manifest']['num_clips']:,}"],
        ["Clips failed", f"{totals['failed']:,}", "reasons at the end of this page"],
        ["Audio", format_duration(audio_s), ""],
        ["Patches", f"{totals['patches']:,}", models],
    ]
    elapsed_s = _elapsed_s(run)
    if elapsed_s is None:
        return tiles
    tiles.append(["Time", format_duration(elapsed_s), "of the last run"])
    # If several runs wrote the dataset, the last run did not process all its audio.
    if run["counters"].get("clips") == totals["clips"] and audio_s:
        speed = audio_s / max(elapsed_s, 1)
        tiles.append(["Speed", f"{speed:,.0f}x", "real time, including start-up"])
    return tiles


def _elapsed_s(run: dict[str, Any]) -> float | None:
    if not run.get("finished"):
        return None
    start, end = (
        datetime.datetime.fromisoformat(run[k]) for k in ("started", "finished")
    )
    return (end - start).total_seconds()


def run_facts(dataset: Dataset, run: dict[str, Any]) -> list[list[str]]:
    """Returns inputs, models, settings and versions, each as a name and a value."""
    config, identity = run["config"], run["identity"]
    facts = [["Input", path] for path in config["inputs"]]
    facts.append(["Dataset", dataset.shown])
    for model in run["models"]:
        engine = identity["engines"].get(model["name"], "")
        text = (
            f"{model['name']}: {model['num_classes']} classes, embedding of "
            f"{model['embedding_size']}, engine {engine}, sha256 {model['sha256'][:12]}"
        )
        facts.append(["Model", text])
    hop_s = config["patch_hop"] * 220 / 22050
    patches = f"every {hop_s:.2f} s, last patch: {config['last_patch']}"
    facts += [
        ["Patches", patches],
        ["Stored", _stored_text(config)],
        ["Started", run["started"]],
        ["Finished", run.get("finished") or "not yet"],
        ["Workers", str(run["num_workers"])],
    ]
    versions = run["versions"].items()
    facts.append(["Versions", ", ".join(f"{name} {v}" for name, v in versions)])
    counters = run.get("counters", {})
    steps = [(k[:-3], v / 1e6) for k, v in counters.items() if k.endswith("_us")]
    if steps:
        text = ", ".join(f"{name.replace('_', '-')} {s:,.1f} s" for name, s in steps)
        facts.append(["Time per step, all workers", text])
    return facts


def _stored_text(config: Mapping[str, Any]) -> str:
    outputs, patches = stored_values(config)
    is_default = patches == DEFAULT_PATCH_FORMAT
    return ", ".join(outputs) + ("" if is_default else f"; of patches: {patches}")
