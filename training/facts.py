"""What the metadata of the demo models says."""

from collections.abc import Sequence
from typing import Any

from pipeline.registry import published_labels

_SIZES = {
    ("trained",): "about 27 hours of log-mels from 9 hours of clips",
    ("trained", "added"): "about 37 hours of log-mels from 12 hours of clips",
}


def demo_facts(
    trained_labels: Sequence[str], splits: tuple[str, ...]
) -> dict[str, Any]:
    """Facts about a demo model for `training.export.write_metadata`.

    Args:
        trained_labels: The labels that the model knows.
        splits: Of `training.render`, on which it was trained.
    """
    return {
        "version": "1",
        "description": "DEMO model: an FSD-SINet architecture trained on rendered "
        "instruments, drums, effects and synthetic speech. It has never seen FSD50K, "
        "knows only the trained_classes, and is no substitute for a published model.",
        "author": "The fsd-sinet-beam authors",
        "framework_version": "written for 2.5",
        "dataset": {
            "name": "rendered by this project (training/), see the model card",
            "size": _SIZES[splits],
            "splits": list(splits),
        },
        "license": "AGPL-3.0-or-later",
        "citation": "Architecture: E. Fonseca, A. Ferraro and X. Serra, Improving "
        "Sound Event Classification by Increasing Shift Invariance in Convolutional "
        "Neural Networks, arXiv 2107.00623",
        "classes": list(published_labels()),
        "trained_classes": list(trained_labels),
    }
