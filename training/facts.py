"""What the metadata of the demo models says."""

from collections.abc import Sequence
from typing import Any

from transforms.models.registry import published_labels


def demo_facts(
    trained_labels: Sequence[str], splits: Sequence[str], hours: tuple[float, float]
) -> dict[str, Any]:
    """Facts about a demo model for `training.graphs.export.write_metadata`.

    Args:
        trained_labels: The labels that the model knows.
        splits: Of `training.render`, on which it was trained.
        hours: Of clips, and of log-mels computed from them.
    """
    clips_h, mels_h = hours
    return {
        "version": "1",
        "description": "DEMO model: an FSD-SINet architecture trained on rendered "
        "instruments, drums, effects and synthetic speech. It has never seen FSD50K, "
        "knows only the trained_classes, and is no substitute for a published model.",
        "author": "The fsd-sinet-beam authors",
        "framework_version": "written for 2.5",
        "dataset": {
            "name": "rendered by this project (training/), see the model card",
            "size": f"about {mels_h:.0f} hours of log-mels from {clips_h:.0f} hours of "
            "clips",
            "splits": list(splits),
        },
        "license": "AGPL-3.0-or-later",
        "citation": "Architecture: E. Fonseca, A. Ferraro and X. Serra, Improving "
        "Sound Event Classification by Increasing Shift Invariance in Convolutional "
        "Neural Networks, arXiv 2107.00623",
        "classes": list(published_labels()),
        "trained_classes": list(trained_labels),
    }
