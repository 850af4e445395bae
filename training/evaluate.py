"""Scores a trained model, in Essentia, on sounds that it was not trained on.

Usage: python -m training.evaluate MODEL.pb

The sounds are the clips that `training.render held_out` wrote, and real recordings. The
model runs as Essentia's users would run it (TensorflowPredictFSDSINet, mean over the
patches of a clip). The result is MODEL.scores.json, from which `training.model_card`
takes its figures.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training.graphs.export import label_indices
from training.network.shift_invariance import embedding_changes_in_clip
from training.packages import EVALUATION, require
from training.recipes.ontology import with_ancestors
from training.recipes.recipe import Recipe
from training.recipes.rendered import NOT_CLAIMED, RECIPES, TRAINED_LABELS
from training.recordings.held_out import Recording, read_recordings
from training.synthesis.formulas import render_formula
from transforms.engines.essentia import EssentiaEngine
from transforms.essentia_import import essentia_standard
from transforms.front_end.patches import log_mel, normalise
from transforms.models.loading import load_model as load_spec
from transforms.models.registry import published_labels

HELD_OUT = pathlib.Path("build/training/held_out")
# Labels that are trained on, but describe a family of sounds and not one kind of sound.
_GENERAL = frozenset(
    {"Guitar", "Human voice", "Musical instrument", "Percussion", "Water"}
)
SPECIFIC_LABELS = tuple(
    sorted({label for r in RECIPES for label in r.labels} - _GENERAL - {*NOT_CLAIMED})
)
# Ordered from the most to the least specific, because a drum is percussion and music.
_FAMILY_ROOTS = ("Percussion", "Musical instrument", "Human voice", "Animal", "Alarm")
# Threshold above which a user would take a label as true.
HEARD = 0.5
_NOISES = ("coloured_noise", "hum", "clicks", "sweeps", "silence")
_NUM_NOISES, _NOISE_S = 8, 4.0
# In frames of 10 ms. The networks subsample three times by 2, so that a shift by 8
# frames shifts their grids as a whole.
_SHIFTS = range(1, 8)
_COUNTED = ("family_in_top_3", "label_in_top_3", "label_first", "label_heard")

Predict = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Clip:
    """A held-out clip.

    Attributes:
        recipe: Recipe of the clip.
        source: Name of the soundfont that played it, or "voices".
        scores: Mean activations [200] of the model.
    """

    recipe: Recipe
    source: str
    scores: np.ndarray


def load_model(path: pathlib.Path) -> Predict:
    """Returns a function from a waveform [num_samples] to mean activations [200].

    The function runs the model in Essentia's own algorithm.
    """
    model = essentia_standard().TensorflowPredictFSDSINet(
        graphFilename=str(path), lastPatchMode="repeat"
    )

    def predict(samples: np.ndarray) -> np.ndarray:
        activations = model(np.ascontiguousarray(samples, dtype=np.float32))
        return np.asarray(activations).mean(axis=0)

    return predict


def score_held_out(predict: Predict, folder: pathlib.Path) -> list[Clip]:
    """Runs the model on every clip of the held-out soundfonts and voices."""
    clips = []
    for recipe in RECIPES:
        for path in sorted(folder.glob(f"{recipe.name}-*.npz")):
            source = path.stem.rpartition("-")[2]
            source = "voices" if source == "other" else source
            with np.load(path) as arrays:
                audio = arrays["audio"]
            clips += [Clip(recipe, source, predict(samples)) for samples in audio]
    return clips


def average_precisions(clips: Sequence[Clip]) -> dict[str, float]:
    """Average precision of every trained label that some clips have and others lack.

    Clips for which the truth of a label is unknown do not count for that label.
    """
    scores = np.stack([clip.scores for clip in clips])
    result = {}
    for label in TRAINED_LABELS:
        is_known = np.array([label not in clip.recipe.unknown for clip in clips])
        truth = np.array([label in clip.recipe.all_labels for clip in clips])
        is_known |= truth
        if truth.any() and not truth[is_known].all():
            index = published_labels().index(label)
            result[label] = average_precision(
                truth[is_known], scores[is_known][:, index]
            )
    return result


def heard_part(clips: Sequence[Clip]) -> float:
    """Fraction of the true trained labels of all clips that score over HEARD."""
    labels = published_labels()
    true = [
        clip.scores[labels.index(label)]
        for clip in clips
        for label in clip.recipe.all_labels
        if label in TRAINED_LABELS
    ]
    return float(np.mean(np.array(true) > HEARD))


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean of the precision at every true clip, with clips sorted by falling score.

    Among equal scores false clips come first, so that a constant score gains nothing.
    """
    order = np.lexsort((truth, -scores))
    hits = truth[order]
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precisions[hits].mean())


def score_recording(recording: Recording, scores: np.ndarray) -> dict[str, Any]:
    """The highest labels of a real recording, and whether they are right."""
    labels = published_labels()
    order = np.argsort(-scores, kind="stable")
    top = [labels[index] for index in order[:3]]
    specific = [labels[index] for index in order if labels[index] in SPECIFIC_LABELS]
    true = with_ancestors(*recording.labels, *recording.possible)
    false = next(index for index in order if labels[index] not in true)
    return {
        "source": recording.source,
        "name": recording.name,
        "labels": list(recording.labels),
        "top_3": {name: round(float(scores[labels.index(name)]), 3) for name in top},
        "top_3_specific": specific[:3],
        "family_in_top_3": bool(set(top) & family_members(recording.labels)),
        "label_in_top_3": bool(set(specific[:3]) & set(recording.labels)),
        "label_first": specific[0] in recording.labels,
        "label_heard": any(scores[labels.index(n)] > HEARD for n in recording.labels),
        "highest_false": labels[false],
        "highest_false_score": round(float(scores[false]), 3),
    }


def family_members(labels: Sequence[str]) -> set[str]:
    """All trained labels of the families (percussion, voice, ...) of some labels."""
    members: set[str] = set()
    for label in labels:
        ancestors = with_ancestors(label)
        roots = [root for root in _FAMILY_ROOTS if root in ancestors]
        root = roots[0] if roots else ancestors[-1]
        members |= {name for name in TRAINED_LABELS if root in with_ancestors(name)}
    return members


def score_noises(predict: Predict) -> dict[str, float]:
    """Highest score of any label, for each kind of noise."""
    rng = np.random.default_rng(1)
    return {
        name: max(
            round(float(predict(render_formula(name, _NOISE_S, rng)).max()), 3)
            for _ in range(_NUM_NOISES)
        )
        for name in _NOISES
    }


def shift_changes(path: pathlib.Path, recordings: Sequence[Recording]) -> list[float]:
    """Mean change of the embeddings of real recordings by shifts of 1 to 7 frames."""
    engine = EssentiaEngine(load_spec(str(path)))
    changes = [
        embedding_changes_in_clip(
            lambda patches: engine.run(patches).embeddings,
            log_mel(normalise(recording.samples))[0],
            _SHIFTS,
            hop_frames=100,
        )
        for recording in recordings
    ]
    return [round(float(x), 4) for x in np.concatenate(changes).mean(axis=0)]


def evaluate(path: pathlib.Path, held_out: pathlib.Path) -> dict[str, Any]:
    """All scores of a model, as JSON content."""
    predict = load_model(path)
    clips = score_held_out(predict, held_out)
    sources = sorted({clip.source for clip in clips})
    groups = {s: [clip for clip in clips if clip.source == s] for s in sources}
    by_label = average_precisions(clips)
    recordings = read_recordings()
    instruments = [r for r in recordings if r.source == "instruments"]
    trained = label_indices(TRAINED_LABELS)
    untrained = np.delete(np.stack([clip.scores for clip in clips]), trained, axis=1)
    return {
        "model": path.stem,
        "num_clips": {source: len(group) for source, group in groups.items()},
        "mean_average_precision": round(float(np.mean([*by_label.values()])), 4),
        "num_labels": len(by_label),
        "mean_average_precision_by_source": {
            source: round(float(np.mean([*average_precisions(group).values()])), 4)
            for source, group in groups.items()
            if source != "voices"
        },
        "heard_part": round(heard_part(clips), 4),
        "average_precision": {k: round(v, 4) for k, v in sorted(by_label.items())},
        "highest_score_of_an_untrained_label": float(untrained.max()),
        "noises": score_noises(predict),
        "embedding_change_by_shift": shift_changes(path, instruments),
        "recordings": [score_recording(r, predict(r.samples)) for r in recordings],
    }


def to_json(scores: dict[str, Any]) -> str:
    """JSON with one line for each score, and one line for each recording."""
    recordings = ",\n  ".join(json.dumps(row) for row in scores["recordings"])
    others = [(key, value) for key, value in scores.items() if key != "recordings"]
    lines = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in others]
    return f'{{\n{"".join(lines)} "recordings": [\n  {recordings}\n ]\n}}\n'


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--held-out", type=pathlib.Path, default=HELD_OUT)
    arguments = parser.parse_args(argv)
    try:
        require(EVALUATION, "evaluation")
    except FileNotFoundError as error:
        parser.error(str(error))
    scores = evaluate(arguments.model, arguments.held_out)
    path = arguments.model.with_suffix(".scores.json")
    path.write_text(to_json(scores), encoding="utf-8")
    print_summary(scores)
    print(path)


def print_summary(scores: dict[str, Any]) -> None:
    print(
        f"mAP {scores['mean_average_precision']:.3f} over {scores['num_labels']} "
        f"labels; {scores['mean_average_precision_by_source']}"
    )
    for source, rows in by_source(scores["recordings"]).items():
        counts = {key: sum(row[key] for row in rows) for key in _COUNTED}
        worst = max(row["highest_false_score"] for row in rows)
        print(f"{source}: {len(rows)} recordings, {counts}, false score {worst}")
    print(f"noises: {scores['noises']}")


def by_source(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Groups rows by `source`; groups are in the order of their first rows."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["source"], []).append(row)
    return groups


if __name__ == "__main__":
    main()
