"""Prints the installed versions of the packages that setup.py requires.

Usage: python -m deploy.constraints

The workers' image is built with these versions, so that it has the packages that the
tests ran with. Packages that only Beam requires are left out: Beam's image has the
versions that Beam was tested with.
"""

import importlib.metadata

from packaging.requirements import Requirement

PROJECT = "fsd-sinet-beam"


def constraints() -> list[str]:
    """The lines of a constraints file for pip."""
    needed = map(Requirement, importlib.metadata.requires(PROJECT) or [])
    names = [r.name for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
    return [f"{name}=={importlib.metadata.version(name)}" for name in sorted(names)]


if __name__ == "__main__":
    print("\n".join(constraints()))
