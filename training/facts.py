"""What the metadata of the demo models says, and the labels of the family."""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PUBLISHED = _ROOT / "pipeline" / "published_models.json"


@functools.cache
def published_labels() -> tuple[str, ...]:
    """The 200 labels of the published models, in the order of their activations.

    Read from the file and not through `pipeline.models`, which imports Essentia: that
    and TensorFlow cannot be in one process.
    """
    facts = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    return tuple(facts["classes"])


def demo_facts(trained_labels: Sequence[str]) -> dict[str, Any]:
    """Facts about a demo model for `training.export.write_metadata`."""
    return {
        "description": "DEMO model: the FSD-SINet architecture trained on rendered "
        "instruments, drums, effects and synthetic speech. It has never seen FSD50K "
        "and is no substitute for the published models.",
        "version": "1",
        "classes": list(published_labels()),
        "trained_classes": list(trained_labels),
    }
