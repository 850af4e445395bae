"""Local copies of files that a library can only read by name: the graphs of models."""

import hashlib
import os
import pathlib
import tempfile

from transforms.storage.errors import StorageError
from transforms.storage.local import LocalStore
from transforms.storage.store import Store
from transforms.storage.uris import file_name, is_local, local_path, shown

# Where copies are kept; among the temporary files of the process without.
COPIES_VARIABLE = "FSDSINET_COPIES"


def keep_copy(uri: str, data: bytes) -> pathlib.Path:
    """Writes what was read from a uri to a file that has its name."""
    path = _place(uri, hashlib.sha256(data).hexdigest())
    with LocalStore().publish(str(path)) as file:
        file.write(data)
    return path


def local_copy(store: Store, uri: str, sha256: str) -> pathlib.Path:
    """A local file with this content: the file itself, a copy that is there, or a new
    one.

    Raises:
        StorageError: if it cannot be read, or is not what was expected.
    """
    if is_local(uri):
        return pathlib.Path(local_path(uri))
    path = _place(uri, sha256)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    data = store.read(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        problem = "is not the file it was when the run began; run the command again"
        raise StorageError("unreadable", shown(uri), problem)
    return keep_copy(uri, data)


def _place(uri: str, sha256: str) -> pathlib.Path:
    folder = os.environ.get(COPIES_VARIABLE)
    if not folder:
        folder = os.path.join(tempfile.gettempdir(), f"fsd-sinet-beam-{os.getuid()}")
    return pathlib.Path(folder, sha256[:32], file_name(uri))
