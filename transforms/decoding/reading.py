"""Opens the audio of clips; fetches the next remote clip while a clip is decoded."""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from transforms import storage
from transforms.elements import Clip, ClipError
from transforms.storage import FileInfo, StorageError

Opener = Callable[[], BinaryIO]

# Time limit for opening a clip. A file on the web may take 600 s (`storage.Limits`),
# and a store may be slow.
CLIP_TIMEOUT_S = 1800
# Duration above which a clip is a long recording, which is computed in segments of
# about half of it. Ten minutes at 44.1 kHz take 0.3 GB of memory, a segment seconds.
LONGEST_S = 600


def open_audio(clip: Clip) -> BinaryIO:
    """Opens the audio of a clip for reading.

    Remote audio is read into memory first, or in parts if it is large. Reads of parts
    raise ClipError if the store fails. FFmpeg does not change this error, as it would
    an OSError.

    The decoder gets an open file, not a file name, because FFmpeg interprets names
    (`concat:`, `%03d`).

    Raises:
        ClipError: not_found, not_a_file, unreadable or unsupported_uri.
    """
    try:
        file = storage.open_file(clip.uri)
        if isinstance(file, storage.RangedFile):
            file.convert_errors(_read_error)
        return file
    except StorageError as error:
        trimmed = _without_spaces(clip.uri) if error.kind == "not_found" else None
        problem = error.problem
        if trimmed is not None:
            problem = (
                f"no such file, but {storage.shown(trimmed)!r} exists; remove the "
                "spaces around the name in the manifest"
            )
        raise ClipError(
            "read",
            error.kind,
            f"cannot open {error.uri!r} for clip {clip.clip_id}: {problem}",
        ) from error


def _read_error(error: StorageError) -> ClipError:
    """The error of a read after the file was opened, for any clip of the file."""
    return ClipError("read", error.kind, f"cannot read {error.uri!r}: {error.problem}")


def _without_spaces(uri: str) -> str | None:
    """A file that exists and whose name differs only in spaces around it, or None."""
    # With a space before it, an absolute path or uri was joined to a folder.
    alone = re.search(rf"/\s+(/.*|{storage.URI_SCHEME}.*)", uri, re.DOTALL)
    by_parts = "/".join(part.strip() for part in uri.split("/"))
    for trimmed in (by_parts, alone[1].strip() if alone else uri):
        with contextlib.suppress(StorageError):
            if trimmed != uri and isinstance(storage.look_up(trimmed), FileInfo):
                return trimmed
    return None


def openers(
    clips: Sequence[Clip], open_clip: Callable[[Clip], BinaryIO] = open_audio
) -> Iterator[tuple[list[Clip], Opener]]:
    """Yields clips that follow each other and are of one file.

    The function that is yielded with them opens the file for the first of them that has
    not failed. When clips are yielded, a thread starts to open the next file if it is
    remote, which fetches the file unless it is read in parts.
    """
    groups = [list(g) for _, g in itertools.groupby(clips, lambda clip: clip.uri)]
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        ready: Opener | None = None
        for group, following in zip(groups, [*groups[1:], None], strict=True):
            opener = ready or functools.partial(open_clip, _first_to_open(group))
            ready = None
            first = _first_to_open(following or group)
            if following and not first.failure and not storage.is_local(first.uri):
                ready = reader.submit(open_clip, first).result
            yield group, opener


def _first_to_open(clips: Sequence[Clip]) -> Clip:
    return next((clip for clip in clips if not clip.failure), clips[0])
