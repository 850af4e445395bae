"""Finds the folders in which files are kept between runs, such as compiled code."""

import os
import pathlib
import tempfile

_VARIABLE = "FSDSINET_CACHE"
# Folder of the code that numba compiled and of the checks that it passed. They are in
# one folder, so that they are removed together.
COMPILED = "compiled"


def default_root() -> pathlib.Path:
    """Folder of the kept files, unless an environment variable names another one."""
    return pathlib.Path.home() / ".cache" / "fsd-sinet-beam"


def cache_folder(name: str) -> pathlib.Path:
    """Makes a writable folder for one purpose. Users may remove it at any time.

    It is in the folder that the variable FSDSINET_CACHE names, or else in
    ~/.cache/fsd-sinet-beam. If that folder cannot be written, it is among the temporary
    files of this user.
    """
    folder = pathlib.Path(os.environ.get(_VARIABLE) or default_root()) / name
    if _can_be_written(folder):
        return folder
    own = pathlib.Path(tempfile.gettempdir()) / f"fsd-sinet-beam-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        # Code that another user put there would run with the rights of this user.
        own = pathlib.Path(tempfile.mkdtemp(prefix="fsd-sinet-beam-"))
    folder = own / name
    folder.mkdir(exist_ok=True)
    return folder


def keep_compiled_code() -> None:
    """Sets the folder for numba's code, here and in children, unless it is set."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder(COMPILED)))


def _can_be_written(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
