"""A kind of sound, what plays it and the labels that it truly has.

Labels of which nobody can say whether they are true (is a choir of a soundfont male or
female?) are listed as unknown, and neither trained nor scored there.
"""

import dataclasses

from training.recipes.ontology import with_ancestors
from training.recipes.sources import Recordings, Signal, Source

# What a beat has some of.
KIT_PIECES = ("Bass drum", "Snare drum", "Hi-hat", "Crash cymbal", "Cymbal", "Drum")
# Weight of a few notes of an instrument, which are soon learnt by heart.
FEW_NOTES = 0.5


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One kind of sound.

    Attributes:
        name: Unique; names files.
        source: What plays it.
        labels: The most specific labels that are true; empty for sounds of which the
            model is to say nothing.
        unknown: Labels that may be true.
        weight: How often it is drawn in training, 1 is usual.
    """

    name: str
    source: Source
    labels: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    weight: float = 1.0

    @property
    def all_labels(self) -> tuple[str, ...]:
        """`labels` with all that they imply."""
        return with_ancestors(*self.labels)


def recorded(
    group: str,
    *labels: str,
    unknown: tuple[str, ...] = (),
    weight: float = 1.0,
) -> Recipe:
    """A recipe of a group of recordings.

    What has no label has none at other speeds either, and stands for more then; what
    has one is to stay true to it.
    """
    source = Recordings(group, (0.85, 1.18) if labels else (0.6, 1.6))
    maybe = _possible(labels, unknown)
    return Recipe(f"recorded_{group}", source, labels, maybe, weight)


def made(
    formula: str,
    *labels: str,
    unknown: tuple[str, ...] = (),
    weight: float = 1.0,
) -> Recipe:
    """A recipe of sounds that are made by formula."""
    maybe = _possible(labels, unknown)
    return Recipe(f"made_{formula}", Signal(formula), labels, maybe, weight)


def _possible(labels: tuple[str, ...], unknown: tuple[str, ...]) -> tuple[str, ...]:
    """Unknown labels and all that they imply, but for what is true."""
    true = with_ancestors(*labels)
    return tuple(name for name in with_ancestors(*unknown) if name not in true)
