"""Prints the versions that are installed of the packages that setup.py asks for.

For the workers' image, so that it has what the tests ran with. Packages that only Beam
asks for are left out: its image has the versions that Beam was tested with.
Usage: python -m deploy.constraints
"""

import importlib.metadata

from packaging.requirements import Requirement

PROJECT = "fsd-sinet-beam"


def constraints() -> list[str]:
    """Lines of a constraints file for pip."""
    needed = map(Requirement, importlib.metadata.requires(PROJECT) or [])
    names = [r.name for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
    return [f"{name}=={importlib.metadata.version(name)}" for name in sorted(names)]


if __name__ == "__main__":
    print("\n".join(constraints()))
