"""Where compiled code and checks are kept between runs."""

import os
import pathlib
import tempfile

_VARIABLE = "FSDSINET_CACHE"
# Holds what numba compiled and, beside it, checks: who removes one removes both.
COMPILED = "compiled"


def default_root() -> pathlib.Path:
    """Where files of this project are kept for a user who says nothing else."""
    return pathlib.Path.home() / ".cache" / "fsd-sinet-beam"


def cache_folder(name: str) -> pathlib.Path:
    """A folder that can be written, for one purpose; it may be removed at any time.

    It is in the folder that the variable FSDSINET_CACHE names, ~/.cache/fsd-sinet-beam
    without; where that cannot be written, among the temporary files of this user.
    """
    folder = pathlib.Path(os.environ.get(_VARIABLE) or default_root()) / name
    if _can_be_written(folder):
        return folder
    own = pathlib.Path(tempfile.gettempdir()) / f"fsd-sinet-beam-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        # What another user put there would run as code of this one.
        own = pathlib.Path(tempfile.mkdtemp(prefix="fsd-sinet-beam-"))
    folder = own / name
    folder.mkdir(exist_ok=True)
    return folder


def keep_compiled_code() -> None:
    """Tells numba, here and in children, where to keep code, unless somebody has."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder(COMPILED)))


def _can_be_written(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
