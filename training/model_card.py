"""Bundles a demo model: copies it, registers its hash and writes its model card.

Usage: python -m training.model_card build/training/NAME/NAME.pb

The card is made of texts (here and in training/model_cards/) and of the figures that
`training.evaluate` and `training.export_check` wrote beside the model. The figures are
copied to training/model_cards/, so that a card can be written again when its text
changes, and so that a test can compare the card with them.
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
BUNDLED, RESULTS = ROOT / "transforms/models/bundled", ROOT / "training/model_cards"
_HEAD, _SECOND_PHASE = RESULTS / "head.md", RESULTS / "second_phase.md"


def model_card(
    metadata: dict[str, Any], scores: dict[str, Any], check: dict[str, Any]
) -> str:
    """The card as markdown.

    Args:
        metadata: Metadata of the model, in Essentia's format.
        scores: Results of `training.evaluate`.
        check: Result of `training.export_check`.
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
        "## Comparison with Essentia\n\n"
        f"On {check['num_clips']} held-out clips the activations of Essentia's "
        "`TensorflowPredictFSDSINet` differ from those of the training framework by "
        f"at most {check['largest_difference']:.0e}.\n",
        _shift_part(scores["embedding_change_by_shift"]),
        _labels_part(scores["average_precision"]),
        _all_recordings_part(scores["recordings"]),
    ]
    return "\n".join(parts)


def _second_phase_part(metadata: dict[str, Any]) -> str:
    """Text about the second phase of training; empty for a model without one."""
    has_second_phase = "added" in metadata["dataset"].get("splits", ())
    return _SECOND_PHASE.read_text(encoding="utf-8") if has_second_phase else ""


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
        f"Of the true labels of the clips, {scores['heard_part']:.0%} score over "
        f"{HEARD}.",
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
        "instruments and everyday sounds of GCompris. The columns count recordings "
        "with a label of the right family (percussion, music, voice, ...) among the "
        "three highest labels; with a right label among the three highest specific "
        "labels; with a right label as the highest specific label; and with a right "
        f"label that scores over {HEARD}.",
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
        "Sounds that the model does not know",
        f"Of {len(rows)} recordings of animals, machines and other sounds without a "
        f"trained label, {high} get a wrong label that scores over {HEARD}. A label "
        "that can describe the sound is not counted as wrong (an owl is an animal; a "
        "till rings a bell, and bells are music in the ontology). Highest score of any "
        f"label for noises made by formula: {noises}.",
        "| recording | highest label | highest wrong label |\n|---|---|---|",
        lines,
    )


def _shift_part(changes: Sequence[float]) -> str:
    numbers = " | ".join(map(str, range(1, len(changes) + 1)))
    values = " | ".join(f"{change:.3f}" for change in changes)
    return _section(
        "Shift invariance",
        "Relative change of the embedding when a patch of a real recording (of an "
        "instrument) starts some frames of 10 ms later. It would be 0 for a "
        "shift-invariant network. It is above 0 for every network of the family, "
        "because patches have borders.",
        f"| frames | {numbers} |\n|---|{'---|' * len(changes)}",
        [f"| change | {values} |"],
    )


def _labels_part(precisions: dict[str, float]) -> str:
    lines = [
        f"| {label} | {value:.2f} |"
        for label, value in sorted(precisions.items(), key=lambda item: -item[1])
    ]
    return _section(
        "Labels that the model knows",
        "Average precision on the held-out soundfonts and voices. Most effects "
        "(thunder, trains, dogs, shots, wind, ...) were trained on few recordings, and "
        "the model hardly recognises other recordings of them.",
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
        "| recording | right labels | highest labels | highest specific labels |\n"
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
    """Reads the results of `training.evaluate` and `training.export_check`."""
    paths = [folder / f"{name}.{kind}.json" for kind in ("scores", "check")]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def register(path: pathlib.Path) -> None:
    """Writes the hash of a bundled model to its entry in the registry."""
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
