"""Reads sounds of Debian packages: folders, zip files, files of Doom and OpenTTD."""

import dataclasses
import functools
import io
import pathlib
import struct
import wave
import zipfile
from collections.abc import Callable

_EXTENSIONS = frozenset({".flac", ".mp3", ".ogg", ".wav"})
Content = Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Archive:
    """The place where a package keeps its sounds.

    Attributes:
        package: Name of the Debian package.
        path: Folder of sound files, or a file that holds many sounds.
    """

    package: str
    path: pathlib.Path


@functools.cache
def list_sounds(archive: Archive) -> dict[str, Content]:
    """Lists the sounds of an archive.

    Returns:
        A dict from names to functions that read the bytes of an audio file. A name is
        the path within the archive without the extension, or a title.

    Raises:
        FileNotFoundError: if the package is not installed.
    """
    path = archive.path
    if not path.exists():
        raise FileNotFoundError(f"no {path}: install {archive.package}")
    readers = {".wad": _list_wad, ".cat": _list_cat, ".pk3": _list_zip}
    return readers.get(path.suffix, _list_folder)(path)


def _list_folder(folder: pathlib.Path) -> dict[str, Content]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix in _EXTENSIONS)
    return {str(p.relative_to(folder).with_suffix("")): p.read_bytes for p in paths}


def _list_zip(path: pathlib.Path) -> dict[str, Content]:
    file = zipfile.ZipFile(path)
    names = [pathlib.PurePath(name) for name in sorted(file.namelist())]
    return {
        str(name.with_suffix("")): functools.partial(file.read, str(name))
        for name in names
        if name.suffix in _EXTENSIONS
    }


def _list_cat(path: pathlib.Path) -> dict[str, Content]:
    """Reads OpenTTD's format: pairs of offset and size, then titles with WAV files."""
    data = path.read_bytes()
    # The highest bit says that the titles contain licences.
    first = struct.unpack_from("<I", data)[0] & 0x7FFFFFFF
    sounds: dict[str, Content] = {}
    for offset, size in struct.iter_unpack("<II", data[:first]):
        start = offset & 0x7FFFFFFF
        title_size = data[start]
        title = data[start + 1 : start + 1 + title_size].decode("utf-8").split('"')[1]
        start += 1 + title_size
        sounds[title] = functools.partial(_part, data, start, start + size)
    return sounds


def _list_wad(path: pathlib.Path) -> dict[str, Content]:
    """Reads Doom's format: a sound has a header of 8 bytes, then 8-bit samples with 16
    bytes of padding before and after."""
    data = path.read_bytes()
    count, directory = struct.unpack_from("<ii", data, 4)
    sounds: dict[str, Content] = {}
    for index in range(count):
        start, size, raw = struct.unpack_from("<ii8s", data, directory + 16 * index)
        name = raw.rstrip(b"\0").decode("ascii")
        if name.startswith("DS") and size >= 64:
            (rate,) = struct.unpack_from("<H", data, start + 2)
            samples = data[start + 24 : start + size - 16]
            sounds[name] = functools.partial(_wav, samples, rate)
    return sounds


def _part(data: bytes, start: int, end: int) -> bytes:
    return data[start:end]


def _wav(samples: bytes, rate: int) -> bytes:
    """Content of a WAV file with unsigned 8-bit samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(samples)
    return buffer.getvalue()
