"""Renders the clips of a split and computes their log-mels.

Usage: python -m training.render SPLIT [--short] [--recipes NAME...] [--output FOLDER]

SPLIT is one of
  trained             sounds for both phases of training
  added               further sounds for the second phase
  calibration         sounds that calibrate a model after the first phase
  added_calibration   further sounds that calibrate it after the second phase
  held_out            sounds that only score a model

A job is one recipe with one soundfont or other source. Each job writes one file to
build/training/<split>/ (or FOLDER). A job whose file exists is skipped, so that a
stopped run continues. A job always gives the same clips, because its seed is computed
from its name.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

from training.packages import rendering_packages, require
from training.recipes.added import ADDED, ADDED_CALIBRATION
from training.recipes.recipe import Recipe
from training.recipes.rendered import CALIBRATION, RECIPES
from training.recipes.sources import Played, Recordings, Signal, Speech
from training.recordings.clips import num_sounds, render_recordings
from training.synthesis import degrade
from training.synthesis.formulas import render_formula
from training.synthesis.soundfonts import (
    HELD_OUT_FONTS,
    TRAINED_FONTS,
    Soundfont,
    can_play,
    render_phrases,
)
from training.synthesis.voices import HELD_OUT, TRAINED, render_crowd, render_speech
from transforms.elements import FloatArray
from transforms.front_end.patches import log_mel, normalise

FOLDER = pathlib.Path("build/training")
SPLITS = ("trained", "added", "calibration", "added_calibration", "held_out")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much of a split is rendered.

    Attributes:
        phrases: Number of clips of a recipe and soundfont.
        other_clips: Number of clips of a formula. Speech has three times as many. A
            group of recordings has one clip per recording, but at least this number
            and at most four times this number.
        clip_s: Length of a clip.
        degraded: Number of degraded versions of a clip, besides the clean version.
        keeps_audio: Whether the files hold the waveforms besides the log-mels.
        odd_times: Factor for the number of clips of a formula without a label. Such a
            formula makes another kind of call or machine in every clip.
    """

    phrases: int
    other_clips: int
    clip_s: float
    degraded: int
    keeps_audio: bool
    odd_times: int = 1


PLANS = {
    "trained": Plan(12, 24, 10.0, 2, False),
    "added": Plan(0, 24, 10.0, 2, False, odd_times=3),
    "calibration": Plan(0, 60, 4.0, 0, False),
    "added_calibration": Plan(0, 120, 4.0, 0, False),
    "held_out": Plan(5, 8, 4.0, 0, True),
}
SHORT_PLANS = {
    "trained": Plan(2, 2, 4.0, 1, False),
    "added": Plan(0, 2, 4.0, 1, False),
    "calibration": Plan(0, 2, 4.0, 0, False),
    "added_calibration": Plan(0, 2, 4.0, 0, False),
    "held_out": Plan(1, 1, 4.0, 0, True),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One recipe with one source; `font` is None if the source is no soundfont."""

    recipe: Recipe
    split: str
    font: Soundfont | None

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-{self.font.name if self.font else 'other'}"


_RECIPES = {
    **dict.fromkeys(("trained", "held_out"), RECIPES),
    **{"added": ADDED, "calibration": CALIBRATION},
    "added_calibration": ADDED_CALIBRATION,
}


def plan_jobs(split: str, recipes: Sequence[Recipe] | None = None) -> list[Job]:
    """Jobs of a split, or of some of its recipes.

    The held-out split has no recordings and signals, because these would not be
    independent of those that are trained on.
    """
    recipes = _RECIPES[split] if recipes is None else recipes
    fonts = HELD_OUT_FONTS if split == "held_out" else TRAINED_FONTS
    jobs = []
    for recipe in recipes:
        source = recipe.source
        if isinstance(source, Played):
            jobs += [Job(recipe, split, f) for f in fonts if can_play(f, source)]
        elif split != "held_out" or isinstance(source, Speech):
            jobs.append(Job(recipe, split, None))
    return jobs


def render_clips(job: Job, plan: Plan, rng: np.random.Generator) -> list[FloatArray]:
    """Renders the clean clips of a job: float32 [clip_s * 22050] each."""
    source = job.recipe.source
    match source:
        case Speech():
            voices = TRAINED if job.split == "trained" else HELD_OUT
            number = 3 * plan.other_clips
            if source.kind == "crowd":
                return render_crowd(voices, plan.clip_s, plan.other_clips, rng)
            return [
                render_speech(source, voices, plan.clip_s, rng) for _ in range(number)
            ]
        case Signal():
            number = plan.other_clips * (1 if job.recipe.labels else plan.odd_times)
            return [
                render_formula(source.name, plan.clip_s, rng) for _ in range(number)
            ]
        case Recordings():
            most = 4 * plan.other_clips
            number = min(max(plan.other_clips, num_sounds(source)), most)
            return [render_recordings(source, plan.clip_s, rng) for _ in range(number)]
        case _:
            assert job.font is not None
            return render_phrases(job.font, source, plan.phrases, plan.clip_s, rng)


def run_job(job: Job, plan: Plan, folder: pathlib.Path) -> str:
    """Renders a job to its file in `folder` and returns a line of progress.

    The file has the array `mels`, float16 [1 + degraded, clips, frames, 96], and, if
    the plan keeps audio, `audio`, float32 [clips, samples].
    """
    path = folder / f"{job.name}.npz"
    if path.exists():
        return f"{job.name}: file exists"
    rng = np.random.default_rng(zlib.crc32(f"{job.split}/{job.name}".encode()))
    clips = render_clips(job, plan, rng)
    # Some presets are silent at some keys. Such clips would teach that silence has the
    # label of the preset.
    heard = [clip for clip in clips if np.abs(clip).max() > 1e-3]
    if not heard and job.recipe.labels:
        return f"{job.name}: SILENT, nothing written"
    clips = heard or clips
    versions = [clips]
    for _ in range(plan.degraded):
        versions.append([degrade.degrade(clip, rng) for clip in clips])
    mels = np.stack([np.stack([_mel(clip) for clip in row]) for row in versions])
    arrays = {"mels": mels}
    if plan.keeps_audio:
        arrays["audio"] = np.stack(clips).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
    return f"{job.name}: {len(clips)} clips in {len(versions)} versions"


def _mel(clip: FloatArray) -> np.ndarray:
    return log_mel(normalise(clip))[0].astype(np.float16)


def choose_recipes(split: str, names: Sequence[str]) -> tuple[Recipe, ...]:
    """Recipes of a split with the given names, in the order of the split.

    Args:
        split: One of SPLITS.
        names: Names of recipes; all recipes of the split if empty.

    Raises:
        ValueError: if the split has no recipe with one of the names.
    """
    recipes = _RECIPES[split]
    known = [recipe.name for recipe in recipes]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{split} has no recipe named {', '.join(unknown)}, expected some of: "
            f"{', '.join(known)}"
        )
    return tuple(recipe for recipe in recipes if not names or recipe.name in names)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", choices=SPLITS)
    parser.add_argument("--short", action="store_true", help="for tests: few clips")
    parser.add_argument("--recipes", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--output", type=pathlib.Path, help="folder of the files")
    arguments = parser.parse_args(argv)
    try:
        recipes = choose_recipes(arguments.split, arguments.recipes)
        is_whole = not arguments.recipes
        packages = rendering_packages(arguments.split, is_whole=is_whole)
        require(packages, "rendering")
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    plan = (SHORT_PLANS if arguments.short else PLANS)[arguments.split]
    jobs = plan_jobs(arguments.split, recipes)
    folder = arguments.output or FOLDER / arguments.split
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(run_job, job, plan, folder) for job in jobs]
        for number, run in enumerate(concurrent.futures.as_completed(runs), 1):
            print(f"{number}/{len(jobs)} {run.result()}", flush=True)


if __name__ == "__main__":
    main()
