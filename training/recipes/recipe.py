"""Defines a recipe: a kind of sound, its source and its true labels.

For some labels nobody can say whether they are true (is a choir in a soundfont male or
female?). A recipe lists them as unknown. They are neither trained nor scored on its
sounds.
"""

import dataclasses

from training.recipes.ontology import with_ancestors
from training.recipes.sources import Recordings, Signal, Source

# A beat has some of these, but it is unknown which.
KIT_PIECES = ("Bass drum", "Snare drum", "Hi-hat", "Crash cymbal", "Cymbal", "Drum")
# Weight of a recipe with few notes of an instrument: a network soon overfits to them.
FEW_NOTES = 0.5


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One kind of sound.

    Attributes:
        name: Unique name, used in names of files and as seed.
        source: Source of the sounds.
        labels: Most specific true labels; empty for sounds that must get no label.
        unknown: Labels that may be true.
        weight: Relative frequency in training; 1 is usual.
    """

    name: str
    source: Source
    labels: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    weight: float = 1.0

    @property
    def all_labels(self) -> tuple[str, ...]:
        """`labels`, and all labels that they imply."""
        return with_ancestors(*self.labels)


def recorded(
    group: str,
    *labels: str,
    unknown: tuple[str, ...] = (),
    weight: float = 1.0,
) -> Recipe:
    """A recipe for a group of recordings.

    Sounds without a label are played at a wide range of speeds: they have no label at
    any speed, and so stand for more kinds of sounds. Sounds with a label are played at
    a narrow range, so that the label stays true.
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
    """A recipe for sounds that are made by formula."""
    maybe = _possible(labels, unknown)
    return Recipe(f"made_{formula}", Signal(formula), labels, maybe, weight)


def _possible(labels: tuple[str, ...], unknown: tuple[str, ...]) -> tuple[str, ...]:
    """Unknown labels and all labels that they imply, without those that are true."""
    true = with_ancestors(*labels)
    return tuple(name for name in with_ancestors(*unknown) if name not in true)
