"""Lists the labels that a label implies.

These are its ancestors in the hierarchy of the published models' labels, with two
differences: the cowbells of this project are parts of drum kits, so `Cowbell` implies
percussion and not livestock, and its squeaks are those of doors.
"""

from transforms.events.hierarchy import parents

_OWN_PARENTS = {"Cowbell": ("Percussion",), "Squeak": ("Door",)}


def with_ancestors(*labels: str) -> tuple[str, ...]:
    """The given labels, followed by all labels that they imply, each once."""
    found: dict[str, None] = dict.fromkeys(labels)
    for label in labels:
        above = _OWN_PARENTS.get(label, parents(label))
        found |= dict.fromkeys(with_ancestors(*above))
    return tuple(found)
