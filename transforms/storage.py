"""Bytes in, bytes out. The only place that knows where audio and output live."""

import contextlib
import os
import pathlib
import re
import stat
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from transforms.elements import ClipError

# Start of a uri that is not a local path, as a regular expression.
URI_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+://"


def open_audio(clip_id: str, uri: str) -> BinaryIO:
    """Opens the audio of a clip for reading.

    An open file rather than its name goes to the decoder, because FFmpeg gives
    names a meaning of its own (`concat:`, `%03d`).

    Raises:
        ClipError: not_found, not_a_file, unreadable or unsupported_uri.
    """
    if re.match(URI_SCHEME, uri):
        raise ClipError(
            "read",
            "unsupported_uri",
            f"cannot read clip {clip_id}: got uri {uri!r}, expected a local path; "
            "copy the file to a disk of this machine",
        )
    try:
        # A pipe or a device would keep the worker waiting for ever.
        if not stat.S_ISREG(os.stat(uri).st_mode):
            raise IsADirectoryError
        return open(uri, "rb")
    except FileNotFoundError:
        problem = ("not_found", "no such file; check the uri in the manifest")
    except IsADirectoryError:
        problem = ("not_a_file", "got a directory or device, expected an audio file")
    except (OSError, ValueError) as error:
        problem = ("unreadable", f"{error}; check the file's name and permissions")
    raise ClipError(
        "read", problem[0], f"cannot open {uri!r} for clip {clip_id}: {problem[1]}"
    )


@contextlib.contextmanager
def publish(path: str) -> Iterator[BinaryIO]:
    """Writes a file that is seen complete under its final name, or not at all.

    The bytes go to a hidden temporary file beside it, reach the disk, and get the
    final name by an atomic rename. An exception in the block leaves nothing.
    """
    final = pathlib.Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
