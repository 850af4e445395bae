"""Bundles a demo model: copies it, registers its hash and writes its model card.

Usage: python -m training.model_card build/training/NAME/NAME.pb

The text is that of model_card_head.md and model_card_second_phase.md; every figure
comes from what `training.evaluate` and `training.export_check` wrote beside the model.
Their results are copied to training/results/, so that a test can compare.
"""

import argparse
import json
import pathlib
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

from training.evaluate import HEARD, by_source
from transforms.models.registry import REGISTRY, file_hash, registered_model

ROOT = pathlib.Path(__file__).resolve().parent.parent
_HEAD = pathlib.Path(__file__).with_name("model_card_head.md")
_SECOND_PHASE = _HEAD.with_name("model_card_second_phase.md")
BUNDLED, RESULTS = ROOT / "transforms/models/bundled", ROOT / "training/results"


def model_card(
    metadata: dict[str, Any], scores: dict[str, Any], check: dict[str, Any]
) -> str:
    """The card as markdown.

    Args:
        metadata: Of the model, in Essentia's format.
        scores: From `training.evaluate`.
        check: From `training.export_check`.
    """
    name, num_trained = metadata["name"], len(metadata["trained_classes"])
    architecture = registered_model(name).architecture
    head = _HEAD.read_text(encoding="utf-8")
    parts = [
        head.format(
            name=name,
            architecture=architecture,
            num_trained=num_trained,
            second_phase=_second_phase_part(metadata),
        ),
        _held_out_part(scores),
        _recordings_part(scores["recordings"]),
        _silence_part(scores),
        "## Equal in Essentia\n\n"
        f"On {check['num_clips']} held-out clips the activations in Essentia's "
        "`TensorflowPredictFSDSINet` differ from those of the training framework by "
        f"at most {check['largest_difference']:.0e}.\n",
        _shift_part(scores["embedding_change_by_shift"]),
        _labels_part(scores["average_precision"]),
        _all_recordings_part(scores["recordings"]),
    ]
    return "\n".join(parts)


def _second_phase_part(metadata: dict[str, Any]) -> str:
    """What the second phase adds, of a model that has had it."""
    has_one = "added" in metadata["dataset"].get("splits", ())
    return _SECOND_PHASE.read_text(encoding="utf-8") if has_one else ""


def _held_out_part(scores: dict[str, Any]) -> str:
    clips = scores["num_clips"]
    by_font = scores["mean_average_precision_by_source"]
    rows = [
        (
            "all held-out soundfonts and voices",
            sum(clips.values()),
            scores["num_labels"],
        ),
        *((font, clips[font], "") for font in by_font),
    ]
    values = [scores["mean_average_precision"], *by_font.values()]
    lines = [
        f"| {name} | {number} | {labels} | {value:.3f} |"
        for (name, number, labels), value in zip(rows, values, strict=True)
    ]
    return _section(
        "Held-out soundfonts and voices",
        "Mean average precision over labels, of the mean activations of clips of 4 s. "
        f"Of the labels that the clips truly have, {scores['heard_part']:.0%} score "
        f"over {HEARD}.",
        "| | clips | labels | mAP |\n|---|---|---|---|",
        lines,
    )


def _recordings_part(rows: Sequence[dict[str, Any]]) -> str:
    known = [row for row in rows if row["labels"]]
    groups = {"all": known, **by_source(known)}
    lines = [
        f"| {name} | {len(group)} | {_share(group, 'family_in_top_3')} "
        f"| {_share(group, 'label_in_top_3')} | {_share(group, 'label_first')} "
        f"| {_share(group, 'label_heard')} |"
        for name, group in groups.items()
    ]
    return _section(
        "Real recordings",
        "Human telephone prompts, a recorded drum kit, samples of Sonic Pi, "
        "instruments and everyday sounds of GCompris. Right family (percussion, music, "
        "voice, ...): among the three highest labels; right label: among the three "
        f"highest of the specific labels, first of them, and over {HEARD}.",
        "| | recordings | family in top 3 | label in top 3 | label first "
        f"| label over {HEARD} |\n|---|---|---|---|---|---|",
        lines,
    )


def _silence_part(scores: dict[str, Any]) -> str:
    rows = [row for row in scores["recordings"] if not row["labels"]]
    high = sum(row["highest_false_score"] > HEARD for row in rows)
    noises = ", ".join(
        f"{name.replace('_', ' ')} {score:.2f}"
        for name, score in scores["noises"].items()
    )
    lines = [
        f"| {row['name']} | {_heard(row['top_3'], 1)} "
        f"| {row['highest_false']} {row['highest_false_score']:.2f} |"
        for row in sorted(rows, key=lambda row: -row["highest_false_score"])
    ]
    return _section(
        "Sounds that it does not know",
        f"Of {len(rows)} recordings of animals, machines and other sounds without a "
        f"trained label, {high} get some label over {HEARD} that is wrong. Not wrong "
        "is what may be said of a sound all the same (an owl is an animal; a till "
        "rings a bell, and bells are music in the ontology). Highest score of any "
        f"label for noises by formula: {noises}.",
        "| recording | highest label | highest wrong one |\n|---|---|---|",
        lines,
    )


def _shift_part(changes: Sequence[float]) -> str:
    numbers = " | ".join(map(str, range(1, len(changes) + 1)))
    values = " | ".join(f"{change:.3f}" for change in changes)
    return _section(
        "Shift invariance",
        "Relative change of the embedding when a patch of a real recording (of an "
        "instrument) starts some frames of 10 ms later. 0 would be invariant; with "
        "borders no network of the family is.",
        f"| frames | {numbers} |\n|---|{'---|' * len(changes)}",
        [f"| change | {values} |"],
    )


def _labels_part(precisions: dict[str, float]) -> str:
    lines = [
        f"| {label} | {value:.2f} |"
        for label, value in sorted(precisions.items(), key=lambda item: -item[1])
    ]
    return _section(
        "Labels that it knows",
        "Average precision on the held-out soundfonts and voices. Most effects "
        "(thunder, trains, dogs, shots, wind, ...) were trained from few recordings "
        "and hardly transfer.",
        "| label | AP |\n|---|---|",
        lines,
    )


def _all_recordings_part(rows: Iterable[dict[str, Any]]) -> str:
    lines = [
        f"| {row['source']}: {row['name']} | {' or '.join(row['labels']) or '-'} "
        f"| {_heard(row['top_3'], 3)} | {', '.join(row['top_3_specific'])} |"
        for row in rows
    ]
    return _section(
        "Every real recording",
        "",
        "| recording | right | highest labels | highest specific labels |\n"
        "|---|---|---|---|",
        lines,
    )


def _section(title: str, text: str, header: str, lines: Sequence[str]) -> str:
    table = "\n".join([header, *lines])
    return "\n\n".join(part for part in (f"## {title}", text, table) if part) + "\n"


def _share(rows: Sequence[dict[str, Any]], key: str) -> str:
    count = sum(row[key] for row in rows)
    return f"{count} ({count / len(rows):.0%})"


def _heard(top: dict[str, float], number: int) -> str:
    return ", ".join(f"{k} {v:.2f}" for k, v in list(top.items())[:number])


def read_results(folder: pathlib.Path, name: str) -> list[dict[str, Any]]:
    """Scores and check of a model."""
    paths = [folder / f"{name}.{kind}.json" for kind in ("scores", "check")]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def register(path: pathlib.Path) -> None:
    """Puts the hash of a bundled model into its entry in the registry."""
    registry = json.loads(REGISTRY.read_text(encoding="utf-8"))
    registry["models"][path.stem]["hash"] = f"sha256:{file_hash(path, 'sha256')}"
    text = json.dumps(registry, indent=1, ensure_ascii=False)
    REGISTRY.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    path = parser.parse_args().model
    metadata = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    card = model_card(metadata, *read_results(path.parent, path.stem))
    for folder in (BUNDLED, RESULTS):
        folder.mkdir(exist_ok=True)
    for kind in (".pb", ".json"):
        shutil.copy(path.with_suffix(kind), BUNDLED)
    for kind in (".scores.json", ".check.json"):
        shutil.copy(path.with_suffix(kind), RESULTS)
    (BUNDLED / f"{path.stem}.md").write_text(card, encoding="utf-8")
    register(BUNDLED / path.name)
    print(BUNDLED / f"{path.stem}.md")


if __name__ == "__main__":
    main()
