"""Addresses of audio files, for the players of the page."""

import os
import re
import urllib.parse

from transforms import storage


class Folders:
    """Numbers the folders of files: the page has the path of a folder once.

    Args:
        page_folder: Folder of the page; addresses of audio are relative to it.
    """

    def __init__(self, page_folder: str) -> None:
        self._page_folder = page_folder
        self._numbers: dict[str, int] = {}

    def split(self, uri: str) -> tuple[int, str]:
        """Returns the number of the folder of a file, and the name of the file."""
        folder, name = os.path.split(shown_uri(uri))
        return self._numbers.setdefault(folder, len(self._numbers)), name

    def rows(self) -> list[list[str | None]]:
        """Returns every folder with its address and, without address, the reason."""
        return [
            [folder, *_address(folder, self._page_folder)] for folder in self._numbers
        ]


def shown_uri(uri: str) -> str:
    """Returns the path of a local file, or the uri of another file.

    A path that is not UTF-8 stays a file uri with escapes. A URL has no signature: a
    signed URL gives access to whoever has the page.
    """
    if storage.is_local(uri):
        return storage.in_utf8(storage.local_path(uri))
    return storage.unsigned(uri)


def _address(folder: str, page_folder: str) -> tuple[str | None, str]:
    """Returns the address of a folder for the page: an escaped relative path or a URL.

    If the page cannot read the folder, the address is None, and the text says why.
    """
    if storage.is_local(folder + "/"):
        # The slash: the folder of a file uri in the root folder is `file:`.
        path = storage.local_path(folder + "/")
        # Folders are looked up, not clips: that would be slow on network disks.
        if os.path.isdir(path):
            relative = os.path.relpath(path, page_folder)
            return urllib.parse.quote(relative, errors="surrogateescape"), ""
        return None, "the folder of the file did not exist when this page was written"
    if re.match("https?://", f"{folder}/", re.IGNORECASE):
        return folder, ""
    return None, "the file is in a store that a page cannot read"
